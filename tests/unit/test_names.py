"""A module is named after what it is about."""

from __future__ import annotations

from pathlib import Path

import maestro_es

NAMES_THAT_SAY_NOTHING = {"helper", "helpers", "manager", "managers", "util", "utils"}


def test_no_module_has_a_name_that_says_nothing():
    package = Path(maestro_es.__file__).parent
    names = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}

    assert not [str(name) for name in names if NAMES_THAT_SAY_NOTHING & set(name.parts)]
