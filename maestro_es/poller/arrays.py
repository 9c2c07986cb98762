"""Decides which steps of a study can be submitted as one job array: those whose jobs have equal options.

`maestro_es.core.arrays` decides how many such steps make an array. The adapter of the scheduler decides which options
an array can have.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import cached_property

from msgspec import structs

from maestro_es.adapters.base import SubmitsArrays
from maestro_es.core.arrays import LARGEST, Arrays, array_use
from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.model import ArrayUse, StepRecord, SubmissionKind
from maestro_es.errors import StudyError
from maestro_es.study.session import Session
from maestro_es.study.workspace import ScriptOf, plan_job

#: The keys of a step whose values are scripts.
_SCRIPTS = ("cmd", "restart")

_PLACEHOLDER = re.compile(r"\$\(([^)]*)\)")
_LAUNCHER = "LAUNCHER"


def arrays_of(study: Session) -> Arrays | None:
    """Return the rules for arrays of this study; None if its steps are not submitted in arrays."""
    adapter = study.adapters.scheduler
    use = array_use(study.graph.study)
    if use is ArrayUse.NEVER or not isinstance(adapter, SubmitsArrays):
        return None
    keys = _Keys(study, adapter)
    if use is ArrayUse.AUTO and not adapter.elements_fail_alone(keys.facts):
        return None
    return Arrays(keys.key_of, keys.largest)


class _Keys:
    """The keys of steps. A key consists of the template, and of the values that the adapter requires to be equal.

    The adapter's key may depend only on some parameters. So it is computed once for all steps of a template that have
    the same values of these parameters.
    """

    def __init__(self, study: Session, adapter: SubmitsArrays) -> None:
        self._study = study
        self._adapter = adapter
        self._names: dict[tuple[str, bool], set[str] | None] = {}
        self._known: dict[Hashable, Hashable] = {}

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the scheduler has reported about its cluster."""
        from maestro_es.study.environment_file import scheduler_facts  # noqa: PLC0415 - only before an array

        return scheduler_facts(self._study.log)

    def largest(self) -> int:
        """Return how many steps an array may have."""
        return min(self._adapter.largest_array(self.facts), LARGEST)

    def key_of(self, step: StepRecord) -> Hashable:
        """Return the key of a step; None if it needs a job of its own."""
        if step.keep_script:
            return None
        restarts = step.kind is SubmissionKind.RESTART
        where = (step.template, restarts)
        if where not in self._names:
            self._names[where] = names_in_options(self._study.graph.template(step.template), restarts=restarts)
        names = self._names[where]
        values = step.number if names is None else tuple(param.value for param in step.params if param.key in names)
        known = (*where, values)
        if known not in self._known:
            self._known[known] = self._key_of(step)
        return self._known[known]

    def _key_of(self, step: StepRecord) -> Hashable:
        study = self._study
        attempt = structs.replace(step, token="")
        try:
            key = self._adapter.array_key(plan_job(ScriptOf(study.graph, attempt, study.dir, study.adapters)).job)
        except (OSError, ValueError, StudyError):
            return None  # its submission reports the problem
        return None if key is None else (step.template, tuple(key))


def names_in_options(template: StepTemplateAdded, *, restarts: bool) -> set[str] | None:
    """Return the parameters on which the options of a job may depend; None if they may depend on something else.

    Options are in all keys except the scripts, and in those lines of a script that are comments, or that a parameter
    may turn into comments. The resources of a launcher may be options, too.
    """
    run: Mapping[str, object] = template.run
    script = str(run.get("restart" if restarts else "cmd") or "")
    texts = [template.description, *(str(value) for key, value in run.items() if key not in _SCRIPTS)]
    directives = [line for line in script.split("\n") if line.lstrip().startswith(("#", "$("))]
    texts += [script] if f"$({_LAUNCHER}" in script else directives
    names = {name for text in texts for name in _PLACEHOLDER.findall(text)} - {_LAUNCHER}
    if any("workspace" in name.lower() for name in names):
        return None
    return {name.partition(".")[0] for name in names}
