"""A study whose steps run inside one Flux job, through the agents on its nodes."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import StudyStatus
from maestro_es.poller.tick import tick
from maestro_es.study.session import Session
from tests.e2e.command import maestro_es
from tests.fakes.timed_steps import TIMED, assert_shared
from tests.slurm.studies import RUNTIME
from tools.kill_matrix.instance import Instance, started
from tools.testbed.processes import end_all_under, running_under, wait_for

Start = Callable[..., Instance]

HEAD = """
description: {name: inner, description: d}
batch: {type: flux, host: here, bank: mine, queue: debug}
study:
"""
ALONE = "echo $MAESTRO_ES_TOKEN >>../ledger; exec 9>lock; flock -n 9 || touch ../two-at-once; touch ready"


def step(name: str, cmd: str, more: str = "procs: 1, nodes: 1") -> str:
    return f"- {{name: {name}, description: d, run: {{cmd: '{cmd}', {more}}}}}\n"


def flux(*words: str | Path) -> str:
    return subprocess.run(["flux", *map(str, words)], check=True, capture_output=True, text=True, timeout=60).stdout


def allocate(root: Path, *options: str, loop: str = "", more: str = "", nodes: int = 2) -> str:
    """Submit a job whose driver runs the study in `root`, or creates it. Returns the job's id."""
    script = job_script(root, loop, more)
    return flux("batch", f"-N{nodes}", f"-n{nodes}", "-c4", *options, f"--output={root}.log", script).strip()


def job_script(root: Path, loop: str = "", more: str = "") -> Path:
    """Write a script whose driver runs the study in `root`, or creates it."""
    study = f"'{root}'" if (root / "events.db").exists() else f"-y -o '{root}' '{root}.yaml'"
    program = f"'{sys.executable}' -m maestro_es run --in-allocation {more} {study}"
    script = root.parent / "job.sh"
    script.write_text(f"#!/bin/bash\n{loop or program}\n".replace("PROGRAM", program))
    script.chmod(0o755)
    return script


def is_over(job: str) -> bool:
    return flux("jobs", "-no", "{state}", job).strip() == "INACTIVE"


def ends(root: Path) -> list[tuple[int, bool]]:
    """Return of each hardware failure its number, and whether it counts."""
    with Session(root) as study:
        events = [one.event for one in study.log.events()]
    failures = [event for event in events if isinstance(event, e.HardwareFailed)]
    return [(event.number, "does not count" not in event.reason) for event in failures]


def status(root: Path) -> StudyStatus:
    wait_for(lambda: maestro_es("tick", root).returncode == 0)
    with Session(root) as study:
        return study.status


def test_steps_of_all_kinds_run_inside_the_job(start_instance: Start, tmp_path: Path):
    start_instance(nodes=2)
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD
        + step("one", "flux getattr rank; sleep 1", "procs: 4, nodes: 1")
        + step("two", "flux getattr rank; sleep 1", "procs: 4, nodes: 1")
        + step("mpi", "$(LAUNCHER) flux getattr rank", "procs: 4, nodes: 2")
        + step("here", "flux getattr rank", "depends: [one, two, mpi]")
        + step("large", "true", "procs: 99, nodes: 1")
        + step("long", "true", 'procs: 1, nodes: 1, walltime: "01:00:00"')
    )
    job = allocate(root, "-t", "10m")
    wait_for(lambda: is_over(job))

    text = Path(f"{root}.log").read_text()
    assert f"the walltime of long is longer than the time that job f{job[1:]} has left" in text, text
    assert len({(root / name / f"{name}.out").read_text().split()[0] for name in ("one", "two")}) == 2
    assert sorted((root / "mpi/mpi.out").read_text().split()) == ["0", "0", "1", "1"]
    assert next(root.glob("here/*.out")).read_text() == "0\n"
    assert not list(root.glob("long/*.out"))
    assert ends(root) == []


def test_two_studies_in_one_job_share_its_slots(start_instance: Start, tmp_path: Path):
    start_instance(nodes=2)
    roots = [tmp_path / "first", tmp_path / "second"]
    for root in roots:
        Path(f"{root}.yaml").write_text(HEAD + TIMED)
    both = " & ".join(
        f"'{sys.executable}' -m maestro_es run --in-allocation -y -o '{root}' '{root}.yaml'" for root in roots
    )
    job = allocate(roots[0], loop=f"{both} & wait")
    wait_for(lambda: is_over(job), 200)

    assert Path(f"{roots[0]}.log").read_text().count("Study ended: FINISHED") == 2
    assert_shared(roots, slots=4)


def test_after_a_cancel_nothing_has_failed_and_the_next_job_goes_on(start_instance: Start, tmp_path: Path):
    start_instance(nodes=2)
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(
        HEAD
        + step("a", f"{ALONE}; [ -e ../go ] || sleep 120", "procs: 2, nodes: 1")
        + step("b", f"{ALONE}; [ -e ../go ] || sleep 120 || exit 1", "procs: 3, nodes: 1")
        + step("m", f'{ALONE}; [ -e ../go ] || $(LAUNCHER) sh -c "touch tasks; sleep 120"', "procs: 2, nodes: 2")
        + step("next", ALONE, "procs: 1, nodes: 1, depends: [a, b, m]")
    )
    job = allocate(root)
    for name in "abm":
        wait_for((root / name / "ready").exists)
    wait_for((root / "m/tasks").exists)
    flux("cancel", job)
    wait_for(lambda: is_over(job))
    wait_for(lambda: not running_under(root))
    assert len((root / "ledger").read_text().split()) == 3

    (root / "go").touch()
    second = allocate(root)
    wait_for(lambda: is_over(second), 150)
    assert "Study ended: FINISHED" in Path(f"{root}.log").read_text()
    assert ends(root) == [(0, False)] * 3
    assert not (root / "two-at-once").exists()


def test_a_study_finishes_in_two_jobs_that_are_too_short_while_its_driver_is_killed(
    start_instance: Start, tmp_path: Path
):
    start_instance(nodes=2)
    root = tmp_path / "study"
    parameters = f"global.parameters: {{I: {{values: {[*range(60)]}, label: I.%%}}}}\n"
    (tmp_path / "study.yaml").write_text(HEAD + step("a", f"{ALONE} $(I); sleep 3") + parameters)
    again = f"'{sys.executable}' -m maestro_es run --in-allocation --stop-before 10 '{root}'"
    loop = (
        "PROGRAM & driver=$!; sleep 5\n"
        "while :; do sleep $((RANDOM % 6 + 4)); kill -9 $driver || { wait $driver; exit; }\n"
        f"echo killed >>../kills; wait $driver; {again} & driver=$!; done"
    )
    jobs = 0
    while jobs < 5:
        jobs += 1
        job = allocate(root, "-t", "40s", loop=loop, more="--stop-before 10")
        wait_for(functools.partial(is_over, job), 120)
        if "Study ended" in Path(f"{root}.log").read_text():
            break
    assert jobs > 1
    assert status(root) is StudyStatus.FINISHED
    tokens = (root / "a/ledger" if (root / "a/ledger").exists() else root / "ledger").read_text().split()
    assert len({token.split("-")[1] for token in tokens}) == 60
    assert len(tokens) == len(set(tokens))
    assert not (root / "a/two-at-once").exists()
    assert not any(counts for _, counts in ends(root))
    assert maestro_es("verify", root).returncode == 0


def test_the_rest_of_a_job_goes_on_after_the_loss_of_a_node(start_instance: Start, tmp_path: Path):
    start_instance(nodes=2)
    root = tmp_path / "study"
    parameters = f"global.parameters: {{I: {{values: {[*range(16)]}, label: I.%%}}}}\n"
    (tmp_path / "study.yaml").write_text(HEAD + step("a", "echo $(I); sleep 2") + parameters)
    loop = f"(until [ -e '{root}/lose' ]; do sleep 0.2; done; flux overlay disconnect 1) &\nPROGRAM"
    job = allocate(root, "-t", "10m", loop=loop)
    wait_for(lambda: len(list(root.glob("a/*/a_*.out"))) > 2)
    (root / "lose").touch()
    wait_for(lambda: is_over(job), 120)
    assert "Study ended: FINISHED" in Path(f"{root}.log").read_text()
    assert len(ends(root)) <= 4  # the agent on the lost node ends its runners


def test_a_step_in_a_job_that_flux_has_forgotten_is_waited_for_until_its_user_gives_it_up(
    start_instance: Start, tmp_path: Path
):
    start_instance()
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(HEAD + step("a", "touch ready; sleep 120"))
    job = allocate(root, "-t", "10m", nodes=1)
    wait_for((root / "a/ready").exists)
    wait_for(lambda: status(root) is StudyStatus.RUNNING and "RUNNING" in maestro_es("status", root).stdout)
    assert "the scheduler will report its end" in maestro_es("retry", root, "a", "--lost").stderr
    end_all_under(root)
    wait_for(lambda: is_over(job))
    flux("job", "purge", "--force", "--num-limit=0")

    assert status(root) is StudyStatus.RUNNING
    assert f"flux no longer watches it (Flux does not know job f{job[1:]})" in maestro_es("why", root, "a").stdout
    assert "the driver in this job ends it" in maestro_es("cancel", "-y", root).stderr
    assert maestro_es("retry", root, "a", "--lost").returncode == 0
    assert status(root) is StudyStatus.CANCELLED


#: Submits held jobs in almost each millisecond of a second of an instance. Prints when the second began, and the ids.
SUBMIT_ALL = """
import sys, time, flux, flux.job
handle, spec, sent = flux.Flux(), open(sys.argv[1]).read(), []
began = float(handle.attr_get("broker.starttime"))
second = float(sys.argv[2]) or time.time() - began + 8
while time.time() < began + second: time.sleep(0.01)
while time.time() < began + second + 1: sent.append(flux.job.submit_async(handle, spec, urgency=0)); time.sleep(0.0005)
print(second, *[int(future.get_id()) for future in sent])
"""


def submit_all(instance: Instance, spec: str, second: str = "0") -> list[str]:
    path = instance.folder / "spec"
    path.write_text(spec)
    return instance.run("python", "-c", SUBMIT_ALL, str(path), second).stdout.split()


def test_another_instance_with_a_job_of_the_same_id_does_not_end_a_step(
    start_instance: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "study"
    (tmp_path / "study.yaml").write_text(HEAD + step("a", f"{ALONE}; until [ -e ../go ]; do sleep 0.2; done"))
    here = start_instance()
    ready, go = (f"until [ -e '{root}/{name}' ]; do sleep 0.2; done" for name in ("a/ready", "go"))
    script = job_script(root, f"PROGRAM & driver=$!; {ready}; kill -9 $driver; touch '{root}/killed'; {go}; sleep 1")
    second, *ours = submit_all(here, flux("batch", "--dry-run", "-N1", "-n1", f"--output={root}.log", script))
    with started(lambda: Instance(tmp_path / "other")) as other:
        job = min({*ours}.intersection(submit_all(other, other.run("submit", "--dry-run", "true").stdout, second)))
        for instance in (here, other):
            assert instance.run("job", "urgency", job, "16").returncode == 0
        wait_for((root / "killed").exists)
        wait_for(lambda: other.run("jobs", "-no", "{state}", job).stdout == "INACTIVE\n")
        monkeypatch.setenv("FLUX_URI", other.uri)
        monkeypatch.setattr("maestro_es.core.grace.JOB_GRACE_SECONDS", 0.1)
        for _ in range(4):
            with Session(root, RUNTIME) as study:
                tick(study)
            time.sleep(0.5)
        assert ends(root) == []
    monkeypatch.setenv("FLUX_URI", here.uri)
    (root / "go").touch()
    wait_for(lambda: is_over(job))
    assert status(root) is StudyStatus.FINISHED
    assert len((root / "ledger").read_text().split()) == 1
