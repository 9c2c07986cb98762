from __future__ import annotations

import pytest

from maestro_es.adapters.process import Host
from maestro_es.adapters.registry import make_adapter
from maestro_es.errors import UnknownAdapter

HOST = Host("host", "boot", 1)


@pytest.mark.parametrize(
    ("kind", "extension"),
    [(None, "sh"), ("local", "sh"), ("slurm", "slurm.sh"), ("lsf", "lsf.sh"), ("flux", "flux.sh")],
)
def test_a_batch_type_makes_an_adapter(kind: str | None, extension: str):
    adapter = make_adapter({"type": kind} if kind else {}, HOST)

    assert (adapter.name, adapter.extension) == (kind or "local", extension)


def test_an_unknown_type_names_those_that_there_are():
    with pytest.raises(UnknownAdapter, match="batch type 'pbs' is unknown; known are: flux, local, lsf, slurm"):
        make_adapter({"type": "pbs"}, HOST)


@pytest.mark.parametrize("kind", ["local", "slurm", "lsf", "flux"])
def test_a_script_of_a_local_step_keeps_its_command(kind: str):
    adapter = make_adapter({"type": kind}, HOST)

    assert adapter.header("a", "d", {"cmd": "hi"}).startswith("#!/bin/bash")
    assert adapter.command("hi $(date)", {"cmd": "hi"}) == "hi $(date)"
