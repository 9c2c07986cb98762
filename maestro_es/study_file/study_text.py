"""Study files as data, for studies that are made in Python: data -> text, and text -> data, checked or not yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from maestro_es.core.scheduler_facts import Schedulers
from maestro_es.errors import SpecError
from maestro_es.study_file.checks import check_meaning
from maestro_es.study_file.document import Document, read_document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.validation import check_shape


def study_text(data: Mapping[str, Any]) -> str:
    """Return the study file that says so, in the order of the data. ValueError if YAML can't hold a value."""
    try:
        return str(yaml.safe_dump(dict(data), allow_unicode=True, default_flow_style=False, sort_keys=False))
    except yaml.YAMLError as error:
        raise ValueError(f"a study can't hold this value: {error}") from None


def read_data(text: str, file: str) -> dict[str, Any]:
    """Return what a YAML file says. SpecError if it is no mapping; `file` is its name in messages."""
    findings = Findings(file)
    document = read_document(text, findings)
    if not isinstance(document.data, dict):
        raise SpecError([f"{file}: The file is no study: it must be a mapping with the keys description and study."])
    findings.stop_if_problems()
    return dict(document.data)


def check_data(data: Mapping[str, Any], text: str, file: str, schedulers: Schedulers) -> None:
    """Raise SpecError with every problem of what a study file says; `text` is the file, for the lines of messages."""
    findings = Findings(file)
    document = read_document(text, Findings(file)).with_data(dict(data)) if text else Document(dict(data), None)
    check_shape(document, findings)
    check_meaning(document, schedulers, findings)
    findings.stop_if_problems()
