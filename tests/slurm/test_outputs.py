"""What jobs have written stays, whatever starts after them, and each file says whose it is."""

from __future__ import annotations

import json
from pathlib import Path

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from tests.e2e.command import maestro_es
from tests.slurm.studies import events, finish, ledger, step, tick_until, wait_for_states
from tools.slurm_cluster.configuration import Options
from tools.testbed.processes import wait_for


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in {".out", ".err"}}


def _files_of_attempts(root: Path, name: str) -> list[list[str]]:
    found = json.loads(maestro_es("show", root, name, "--json").stdout)["attempts"]
    return [[Path(path).name for path in attempt["outputs"]] for attempt in found]


def test_a_second_start_of_a_job_does_not_empty_what_the_first_has_written(start_cluster, launch):
    cluster = start_cluster(Options(cred_expire=5))
    root = launch(step("only", "echo first; echo trouble >&2; touch ready; sleep 100"))
    wait_for_states(root, only=State.RUNNING)
    wait_for((root / "only" / "ready").exists)
    job = events(root, e.JobSubmitted)[0].job_id
    cluster.run("scontrol", "update", f"jobid={job}", "requeue=1")
    assert cluster.run("scontrol", "requeue", job).returncode == 0

    wait_for(lambda: [*(root / ".maestro-es" / "inbox").glob("*.refused.*")], seconds=60)
    assert _texts(root / "only")["only.out"] == "first\n"
    assert _texts(root / "only")["only.err"].startswith("trouble\n")

    tick_until(root, e.HardwareFailed)
    wait_for(lambda: len(ledger(root)) == 2)
    wait_for(lambda: _texts(root / "only")["only.out"] == "first\n")
    assert _texts(root / "only")[f"only.{job}.out"] == "first\n"


def test_the_newest_output_has_maestro_s_name_and_older_ones_that_of_their_job(cluster, launch):
    root = launch(step("tries", "echo $MAESTRO_ES_TOKEN; exit 3"))
    assert finish(root) is StudyStatus.FAILURE
    for _ in range(2):
        assert maestro_es("retry", root, "--failed").returncode == 0
        assert finish(root) is StudyStatus.FAILURE

    first, second, third = (event.job_id for event in events(root, e.JobSubmitted))
    tokens = ledger(root)
    texts = _texts(root / "tries")
    assert [texts[f"tries{part}.out"] for part in (f".{first}", f".{second}", "")] == [
        f"{token}\n" for token in tokens
    ]
    assert sorted(texts) == sorted(
        f"tries{part}{end}" for part in (f".{first}", f".{second}", "") for end in (".out", ".err")
    )
    assert _files_of_attempts(root, "tries") == [
        [f"tries{part}.out", f"tries{part}.err"] for part in (f".{first}", f".{second}", "")
    ]
    assert f" {root}/tries/tries.{second}.out (attempt 2)\n" in maestro_es("show", root, "tries").stdout
    assert third not in "".join(texts)
