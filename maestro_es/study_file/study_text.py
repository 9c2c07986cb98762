"""Study files as data, for studies that are made in Python: data -> text, and a checked text -> data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from maestro_es.core.scheduler_facts import Schedulers
from maestro_es.study_file.checks import check_meaning
from maestro_es.study_file.document import read_document
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.validation import check_shape


def study_text(data: Mapping[str, Any]) -> str:
    """Return the study file that says so, in the order of the data. ValueError if YAML can't hold a value."""
    try:
        return str(yaml.safe_dump(dict(data), allow_unicode=True, default_flow_style=False, sort_keys=False))
    except yaml.YAMLError as error:
        raise ValueError(f"a study can't hold this value: {error}") from None


def study_data(text: str, file: str, schedulers: Schedulers) -> dict[str, Any]:
    """Return what a study file says, or raise SpecError with every problem; `file` is its name in them."""
    findings = Findings(file)
    document = read_document(text, findings)
    check_shape(document, findings)
    check_meaning(document, schedulers, findings)
    findings.stop_if_problems()
    return dict(document.data)
