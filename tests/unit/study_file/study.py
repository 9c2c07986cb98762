"""Reads studies from texts instead of files, for the tests in this directory."""

from __future__ import annotations

import dataclasses

from maestro_es.adapters.registry import SCHEDULERS
from maestro_es.study_file.checks import check_meaning
from maestro_es.study_file.document import Document, read_document
from maestro_es.study_file.env_block import EnvBlock, read_environment
from maestro_es.study_file.expansion import ExpansionSettings, expand, rows
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.instances import Expansion
from maestro_es.study_file.parameters import Parameters, read_parameters
from maestro_es.study_file.render import RenderedStep, render
from maestro_es.study_file.templates import Template, check_dependencies, processing_order, read_templates
from maestro_es.study_file.validation import check_shape

HEAD = "description: {name: n, description: d}\n"


@dataclasses.dataclass(frozen=True)
class Study:
    document: Document
    findings: Findings
    environment: EnvBlock
    templates: dict[str, Template]
    parameters: Parameters

    def order(self) -> list[Template]:
        return processing_order(self.templates)

    def expansion(self, settings: ExpansionSettings | None = None) -> Expansion:
        return expand(self.order(), self.parameters, settings or ExpansionSettings(), self.findings)


def read(text: str) -> Study:
    """Read and check a study as if it were in /spec, with /cwd as the current directory."""
    findings = Findings("study.yaml")
    document = read_document(text, findings)
    check_shape(document, findings)
    check_meaning(document, SCHEDULERS, findings)
    environment = read_environment(document, "/spec", "/cwd", findings)
    templates = read_templates(document, environment, findings)
    check_dependencies(templates, findings)
    return Study(document, findings, environment, templates, read_parameters(document))


def steps(*lines: str) -> str:
    """Return the text of a study with a description and these steps, each given as ``name: run block``."""
    made = []
    for line in lines:
        name, run = line.split(": ", 1)
        made.append(f"- {{name: '{name}', description: d, run: {{{run}}}}}\n")
    return HEAD + "study:\n" + "".join(made)


def problems(text: str) -> tuple[str, ...]:
    return read(text).findings.problems()


def names(expansion: Expansion) -> list[str]:
    return [step.name for step in expansion.steps]


def in_rows(expansion: Expansion) -> list[str]:
    """Return the names of the instances in the order of status.csv."""
    placed = sorted(zip(rows(expansion), names(expansion), strict=True))
    return [name for _, name in placed]


def rendered(study: Study, name: str, root: str = "/study") -> RenderedStep:
    step = next(step for step in study.expansion().steps if step.name == name)
    template = study.templates[step.template]
    return render(template.description, template.run, step.params, step.workspace, step.workspaces, root)
