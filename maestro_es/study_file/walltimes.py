"""Walltimes that no scheduler can take: of each instance, as a parameter may stand in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from maestro_es.core.scheduler_facts import SchedulerFacts
from maestro_es.core.walltime import walltime_remedy
from maestro_es.study_file.document import Document
from maestro_es.study_file.expansion import Expansion
from maestro_es.study_file.findings import Findings, shown
from maestro_es.study_file.render import substitute
from maestro_es.study_file.templates import Template


def check_walltimes(
    order: Sequence[Template],
    expansion: Expansion,
    facts: SchedulerFacts,
    document: Document,
    findings: Findings,
    unclear: Collection[str] = (),
) -> list[Template]:
    """Report the first of each template, and return the templates without such walltimes.

    A step without nodes and procs runs here, whatever the scheduler is. Not every value in the templates `unclear` is
    known.
    """
    sound: list[Template] = []
    for template in order:
        written = template.run.get("walltime")
        for number in expansion.numbers(template.name) if written and template.name not in unclear else ():
            step = expansion.steps[number - 1]
            walltime = substitute(written, step.params) if isinstance(written, str) else written
            remedy = (facts.walltime_remedy if step.scheduled else walltime_remedy)(walltime)
            if remedy:
                line = document.line("study", template.index, "run", "walltime")
                message = f"In study step '{step.name}', walltime is {shown(walltime)}, which is no time"
                findings.problem(line, message, remedy)
                run = {key: value for key, value in template.run.items() if key != "walltime"}
                sound.append(dataclasses.replace(template, run=run))
                break
        else:
            sound.append(template)
    return sound
