"""Which resources and options of a step Flux never takes, and the options in a script that a user has edited."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_es.adapters.flux.options import check, is_nested, options_in


@pytest.mark.parametrize(
    "run",
    [{"procs": 1}, {"nodes": 2}, {"nodes": 2, "procs": 2, "gpus": 0}, {"nodes": 1, "exclusive": True}, {"nodes": "1"}],
)
def test_resources_that_flux_may_have_are_left_to_it(run: dict[str, Any]):
    check(run)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"nodes": 2, "procs": 1}, "nodes is 2 and procs is 1; Flux needs at least one task for each node"),
        ({"procs": 1, "exclusive": "yes"}, "exclusive needs the number of nodes: add 'nodes' to the step"),
        ({"nodes": "1-2"}, "nodes is '1-2'; Flux takes a whole number of at least 1"),
        (
            {"procs": 1, "cores per task": 0, "gpus": "1.5"},
            (
                "cores per task is '0'; Flux takes a whole number of at least 1; "
                "gpus is '1.5'; Flux takes a whole number of at least 0"
            ),
        ),
    ],
)
def test_resources_that_no_flux_takes_are_refused_before_there_is_a_study(run: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=r"\S") as refused:
        check(run)

    assert str(refused.value) == message


def test_an_edited_script_has_the_options_of_its_job():
    script = '#!/bin/bash\n#MAESTRO-INFO x\n#flux: -N 2 # nodes\n#flux: --job-name="a b"\n\necho hi\n#flux: -n 9\n'

    assert options_in(script) == ["-N", "2", "--job-name=a b"]


@pytest.mark.parametrize("line", ["--wrap", "--cc=1-3", "--dry-run", "--wait", "--bcc=2", "--watch"])
def test_an_edited_script_can_not_say_what_maestro_es_decides(line: str):
    with pytest.raises(ValueError, match=f"#flux: {line} can't be used there"):
        options_in(f"#!/bin/bash\n#flux: {line}\n")


def test_an_edited_script_with_an_open_quote_is_refused():
    with pytest.raises(ValueError, match="No closing quotation"):
        options_in("#!/bin/bash\n#flux: --job-name='a\n")


@pytest.mark.parametrize(("nested", "expected"), [(True, True), (False, False), ("False", False), ("true", True)])
def test_a_step_is_nested_unless_it_says_no(nested: object, expected: bool):
    assert is_nested({"nested": nested}) is expected
    assert is_nested({})
