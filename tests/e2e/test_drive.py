"""``drive`` runs ticks of existing studies, and stops in time before the job around it ends.

Here the commands of the scheduler are scripts. They answer what a test writes into a file.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import maestro_es
from tools.testbed.processes import end_all_under, running_under, send, wait_for

STUDY = """\
description: {name: slow, description: d}
study:
- name: slow
  description: d
  run: {cmd: "echo run >>../runs; until [ -e ../go ]; do sleep 0.1; done; exit $(cat ../go)"}
"""

IN_JOB = {"SLURM_JOB_ID": "42", "SLURM_JOB_NAME": "chain", "SLURM_NTASKS": "3"}


@pytest.fixture
def place(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for studies, and on the PATH a scheduler whose answers are in files."""
    for name in ("SLURM_JOB_ID", "LSB_JOBID", "FLUX_JOB_ID", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    programs = {
        "squeue": 'case "$*" in *%L*) cat left ;; *) cat state ;; esac',
        "scontrol": "cat config",
        "sbatch": "env | grep ^SLURM >>calls; echo '77;cluster'",
        "scancel": ":",
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\ncd "{tmp_path}"\necho "${{0##*/}} $*" >>calls\n{text}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "left").write_text("UNLIMITED\n")
    (tmp_path / "state").write_text("RUNNING\n")
    (tmp_path / "config").write_text("ClusterName             = here\nProctrackType           = proctrack/cgroup\n")
    (tmp_path / "drive.sh").write_text("#!/bin/sh\n")
    yield tmp_path
    end_all_under(tmp_path)


@pytest.fixture
def launch(place: Path) -> Callable[..., Path]:
    """Return a function that creates a study, and waits until its step runs."""

    def make(name: str = "s", env: Mapping[str, str] | None = None) -> Path:
        done = maestro_es("run", "-y", "-o", place / name, place / "study.yaml", env=env)
        assert done.returncode == 0, done
        wait_for((place / name / "runs").exists)
        return place / name

    return make


def end(study: Path, code: str = "0") -> None:
    (study / "code").write_text(code)
    (study / "code").rename(study / "go")


def drive(*words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "maestro_es", "drive", *map(str, words)]
    return subprocess.Popen(
        argv, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def runs(study: Path) -> int:
    return (study / "runs").read_text().count("run")


def has_run(study: Path, times: int) -> bool:
    return runs(study) == times


def calls(place: Path) -> list[str]:
    return (place / "calls").read_text().splitlines()


def events(study: Path, kind: str) -> list[dict[str, Any]]:
    shown = maestro_es("history", study, "--json").stdout.splitlines()
    return [event for event in map(json.loads, shown) if event["type"] == kind]


def restart_in_job(study: Path) -> subprocess.Popen[str]:
    """Drive a study in a job, until its step runs again."""
    before = runs(study)
    driver = drive(study, env=IN_JOB)
    wait_for(lambda: runs(study) > before)
    return driver


@pytest.mark.parametrize(("codes", "expected"), [(("0", "0"), 0), (("0", "3"), 2)])
def test_it_ends_with_its_studies_and_their_exit_code(launch, codes, expected):
    studies = [launch("one"), launch("two")]
    with drive(*studies) as driver:
        wait_for(lambda: all((study / ".maestro-es/waiting").exists() for study in studies))
        end(studies[0], codes[0])
        wait_for(lambda: maestro_es("wait", studies[0], "--timeout", "0").returncode == 0)
        assert driver.poll() is None
        end(studies[1], codes[1])
        out, err = driver.communicate(timeout=60)
    assert driver.returncode == expected, err
    assert f"{studies[0]}: the study has ended: FINISHED" in out
    assert f"{studies[1]}: 1/1 steps done" in err
    assert " (drive)" in maestro_es("history", studies[0]).stdout


def test_it_stops_before_its_job_ends_and_no_step_has_failed(launch, place):
    study = launch(env=IN_JOB)
    stopped = 5
    for number in range(stopped):  # more often than a step may have hardware failures
        (place / "left").write_text(("0:59", "0:00", "1:00")[number % 3])
        done = maestro_es("drive", study, env=IN_JOB)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            75,
            f"maestro-es: the job slurm:42 is about to end; not ended: {study}; 'maestro-es drive' continues",
        )
    assert calls(place).count("squeue -h -j 42 -o %L") == stopped

    (place / "left").write_text("1-00:00:00\n")
    end(study)
    assert maestro_es("drive", study, env=IN_JOB).returncode == 0


def test_a_local_step_that_was_stopped_with_its_job_runs_again_and_comes_no_nearer_to_a_limit(launch):
    study = launch(env=IN_JOB)
    for turn in range(5):
        driver = restart_in_job(study) if turn else drive(study, env=IN_JOB)
        wait_for((study / ".maestro-es/waiting").exists)
        driver.send_signal(signal.SIGTERM)
        _, err = driver.communicate(timeout=60)
        assert driver.returncode == 75, err
        assert "told to stop" in err
        assert maestro_es("status", study, "--summary", "--json").stdout.count("FAILED") == 0
    failures = events(study, "HardwareFailed")
    assert len(failures) == 5
    assert "it was stopped because its driver in the job slurm:42 had to stop" in maestro_es("history", study).stdout

    end(study)
    assert maestro_es("drive", study, env=IN_JOB).returncode == 0
    assert runs(study) == 6


def test_a_tick_while_a_driver_ends_its_steps_counts_no_hardware_failures(launch, place):
    waits = "until [ -e ../end ]; do sleep 0.1; done; exit 1"
    second = f"""\
- name: late
  description: d
  run: {{cmd: "trap '{waits}' TERM; echo run >>../runs; while :; do sleep 0.1; done"}}
"""
    (place / "study.yaml").write_text(STUDY + second)
    study = launch(env={**IN_JOB, "SLURM_NTASKS": "2"})
    wait_for(lambda: has_run(study, 2))
    with drive(study, env=IN_JOB) as driver:
        wait_for((study / ".maestro-es/waiting").exists)
        driver.send_signal(signal.SIGTERM)
        wait_for(lambda: [*(study / ".maestro-es/inbox").glob("*.stopped.*")])
        ticked = maestro_es("tick", study, env=IN_JOB)
        before = events(study, "HardwareFailed")
        (study / "end").touch()
        _, err = driver.communicate(timeout=60)
    assert driver.returncode == 75, err
    assert (ticked.returncode, before) == (0, [])
    assert [event["data"]["number"] for event in events(study, "HardwareFailed")] == [0, 0]


def on_host(name: str, *words: str | Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run maestro-es on a host with this name."""
    command = ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", sys.executable, "-m"]
    command += ["maestro_es", *map(str, words)]
    done = subprocess.run(
        command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    if "unshare failed" in done.stderr and "CI" not in os.environ:
        pytest.skip(done.stderr)
    return done


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_step_that_was_killed_with_its_job_runs_again_and_comes_no_nearer_to_a_limit(launch, place, elsewhere):
    """All processes of the job are killed, the driver first. The next job may run on another host."""
    cluster = {"SLURM_CLUSTER_NAME": "here"}
    study = launch(env={**IN_JOB, **cluster})
    for turn in range(5):
        (place / "state").write_text("RUNNING\n")
        env = {"SLURM_JOB_ID": str(100 + turn), **cluster}
        host = f"node{turn}" if elsewhere else os.uname().nodename
        end_all_under(study)
        if elsewhere:
            seen = on_host(host, "tick", study, env=env)  # the scheduler says that the earlier job runs
            assert (seen.returncode, runs(study)) == (0, turn + 1)
            why = on_host("login", "why", study, "slow", env={}).stdout
            assert "has ended, the step will run again; only a tick on " in why
        (place / "state").write_text(("", "COMPLETING\n", "NODE_FAIL\n")[turn % 3])
        if turn % 3:
            assert on_host(host, "tick", study, env=env).returncode == 0
            (place / "state").write_text("slurm_load_jobs error: Invalid job id specified\n")
        assert on_host(host, "tick", study, env=env).returncode == 0
        wait_for(functools.partial(has_run, study, turn + 2))
    assert [event["data"]["number"] for event in events(study, "HardwareFailed")] == [0] * 5
    assert (
        "its job slurm:103@here has ended, and the step ended with it; this does not count towards the limit"
        in maestro_es("history", study).stdout
    )


def test_a_process_that_outlives_its_job_is_awaited_on_its_host_and_unknown_elsewhere(launch, place):
    """Without cgroups, the scheduler does not end every process of a job."""
    (place / "config").write_text("ClusterName             = here\nProctrackType           = proctrack/linuxproc\n")
    study = launch(env={**IN_JOB, "SLURM_CLUSTER_NAME": "here"})
    (place / "state").write_text("")
    for host in (os.uname().nodename, "node2"):
        assert on_host(host, "tick", study, env={"SLURM_JOB_ID": "43"}).returncode == 0
        assert runs(study) == 1
    end(study)
    assert maestro_es("drive", study, env={"SLURM_JOB_ID": "43"}).returncode == 0
    assert runs(study) == 1


@pytest.mark.parametrize(
    ("known", "config", "expected"),
    [
        ({"SLURM_CLUSTER_NAME": "here"}, "ClusterName = there\n", 1),
        ({"SLURM_CLUSTER_NAME": "here"}, "ClusterName = hereafter\n", 1),
        ({"SLURM_CLUSTER_NAME": "here"}, "", 1),
        ({}, "ClusterName = there\n", 1),
        ({"SLURM_CLUSTER_NAME": "here"}, "ClusterName = here\n", 2),
    ],
)
def test_only_the_cluster_of_a_job_says_elsewhere_that_it_has_ended(launch, place, known, config, expected):
    """Two clusters share the directory, and have jobs with the same ids."""
    study = launch(env={**IN_JOB, **known})
    (place / "state").write_text("slurm_load_jobs error: Invalid job id specified\n")
    (place / "config").write_text(f"{config}ProctrackType = proctrack/cgroup\n")
    (place / "bin/squeue").write_text(f"#!/bin/sh\ncat '{place}/state' >&2; exit 1\n")

    assert on_host("node2", "tick", study, env={"SLURM_JOB_ID": "43"}).returncode == 0
    wait_for(functools.partial(has_run, study, expected))
    assert len(events(study, "HardwareFailed")) == expected - 1


@pytest.mark.parametrize(
    ("told", "answer", "expected"),
    [
        ("1796075798.642412 submit userid=0", "1796075798.642413 INACTIVE", 1),
        ("1796075798.642412 submit userid=0", "1796075798.642412 RUN", 1),
        ("", "1796075798.642412 INACTIVE", 1),
        ("1796075798.642412 submit userid=0", "1796075798.642412 INACTIVE", 2),
    ],
)
def test_only_a_flux_job_with_the_same_time_of_submission_says_elsewhere_that_it_has_ended(
    launch, place, told, answer, expected
):
    """Two instances of Flux may have jobs with the same id."""
    program = place / "bin/flux"
    program.write_text(f"#!/bin/sh\ncase $* in *eventlog*) echo '{told}' ;; *) echo RUN ;; esac\n")
    program.chmod(0o755)
    study = launch(env={"FLUX_JOB_ID": "ƒ3"})
    program.write_text(f"#!/bin/sh\ncase $* in *config*) echo sdexec ;; *) echo '{answer}' ;; esac\n")

    assert on_host("node2", "tick", study, env={"FLUX_JOB_ID": "ƒ4"}).returncode == 0
    wait_for(functools.partial(has_run, study, expected))
    assert len(events(study, "HardwareFailed")) == expected - 1


def test_a_tick_asks_in_the_environment_of_the_study_whether_a_job_has_ended(launch, place):
    """Cron's PATH has no command of the scheduler."""
    study = launch(env=IN_JOB)
    end_all_under(study)
    (place / "state").write_text("")

    maestro_es("tick", study, env={"PATH": "/usr/bin:/bin"})
    assert [event["data"]["number"] for event in events(study, "HardwareFailed")] == [0]


def test_if_no_answer_says_why_a_process_in_a_job_is_gone_ticks_wait_for_a_limited_time_and_say_so(launch, place):
    study = launch(env=IN_JOB)
    end_all_under(study)
    (place / "bin/squeue").write_text("#!/bin/sh\nexit 1\n")

    for _ in range(2):
        assert maestro_es("tick", study).returncode == 0
    assert len(events(study, "JobNotFound")) == 1
    assert events(study, "HardwareFailed") == []
    why = maestro_es("why", study, "slow").stdout
    assert "the scheduler does not say whether its job slurm:42 has ended; ticks ask until " in " ".join(why.split())


def test_steps_that_the_scheduler_stops_before_the_driver_knows_it_do_not_count(launch):
    """At the end of each job, TERM reaches the steps and the driver in any order."""
    study = launch(env=IN_JOB)
    for turn in range(5):
        for pid in running_under(study):
            send(pid, signal.SIGTERM)
        wait_for(lambda: list((study / ".maestro-es/inbox").glob("*.stopped.*")))
        assert maestro_es("tick", study, env={**IN_JOB, "SLURM_JOB_ID": str(100 + turn)}).returncode == 0
        wait_for(functools.partial(has_run, study, turn + 2))
    assert [event["data"]["number"] for event in events(study, "HardwareFailed")] == [0] * 5


def test_a_step_that_always_stops_itself_reaches_its_limit_within_one_job(place):
    (place / "study.yaml").write_text(STUDY.replace("until", "kill $PPID; until"))
    done = maestro_es("run", "-y", "--wait", "-o", place / "s", place / "study.yaml", env=IN_JOB)
    assert done.returncode == 2, done
    failures = [event["data"] for event in events(place / "s", "HardwareFailed")]
    assert [failure["number"] for failure in failures] == [0, 1, 2, 3, 4]
    assert failures[0]["reason"] == (
        "a signal from outside stopped it in the job slurm:42, which may be about to end; this does not count towards "
        "the limit"
    )
    assert {failure["reason"] for failure in failures[1:]} == {"ended by a signal from outside"}


def test_a_job_that_was_requeued_has_ended_its_earlier_steps(launch):
    study = launch(env=IN_JOB)
    end_all_under(study)
    assert maestro_es("tick", study, env={**IN_JOB, "SLURM_RESTART_COUNT": "1"}).returncode == 0
    wait_for(lambda: runs(study) == 2)
    assert [event["data"]["number"] for event in events(study, "HardwareFailed")] == [0]


def test_outside_of_a_job_the_steps_run_on(launch):
    study = launch()
    driver = drive(study)
    wait_for((study / ".maestro-es/waiting").exists)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=60)
    assert driver.returncode == 75
    end(study)
    assert maestro_es("drive", study).returncode == 0
    assert runs(study) == 1


def test_if_it_is_killed_its_processes_stop_and_the_next_one_continues(launch):
    study = launch(env=IN_JOB)
    driver = drive(study, env=IN_JOB)
    wait_for((study / ".maestro-es/waiting").exists)
    driver.kill()
    driver.communicate(timeout=60)  # its process has the same output, and has closed it
    end(study)
    assert maestro_es("drive", study, env=IN_JOB).returncode == 0
    assert maestro_es("verify", study).returncode == 0


def test_a_job_that_continues_is_submitted_first_and_cancelled_at_the_end(launch, place):
    study = launch(env=IN_JOB)
    (place / "calls").unlink(missing_ok=True)
    with drive("--resubmit", place / "drive.sh", study, env=IN_JOB) as driver:
        wait_for(lambda: (place / "calls").exists() and len(calls(place)) > 1)
        end(study)
        out, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err
    assert "Job 77 continues after this one" in out
    asked = [call for call in calls(place) if "%T" not in call]
    assert asked[0] == f"sbatch --parsable --dependency=singleton --job-name=chain {place / 'drive.sh'}"
    assert asked[1] == "squeue -h -j 42 -o %L"  # no variable of this job has reached sbatch
    assert asked[-1] == "scancel 77"

    (place / "calls").unlink()
    assert maestro_es("drive", "--resubmit", place / "drive.sh", study, env=IN_JOB).returncode == 0
    assert not any(call.startswith("sbatch") for call in calls(place))


def test_if_the_job_that_continues_is_refused_the_studies_go_on_and_it_is_tried_again(launch, place):
    study = launch(env=IN_JOB)
    sbatch = place / "bin/sbatch"
    answers = sbatch.read_text()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: the queue is full' >&2; exit 1\n")
    with drive("--resubmit", place / "drive.sh", study, env=IN_JOB) as driver:
        wait_for((study / ".maestro-es/waiting").exists)
        sbatch.write_text(answers)
        driver.send_signal(signal.SIGTERM)
        out, err = driver.communicate(timeout=60)
    assert (driver.returncode, out) == (75, "Job 77 continues after this one\n")
    assert "drive.sh can't be submitted: sbatch: sbatch: error: the queue is full" in err


def test_only_a_batch_job_can_be_submitted_again(launch, place):
    study = launch()
    done = maestro_es("drive", "--resubmit", place / "drive.sh", study)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "maestro-es: --resubmit works only in a batch job of slurm or lsf or flux or pbs, but this process is not "
        "in a job\n"
    )


def test_a_directory_without_a_study_is_refused_before_anything_is_submitted(place):
    done = maestro_es("drive", "--resubmit", place / "drive.sh", place, env=IN_JOB)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not (place / "calls").exists()


def test_run_that_waits_continues_a_study(launch):
    study = launch()
    end(study, "4")
    done = maestro_es("run", "--wait", study)
    assert (done.returncode, "Study ended: FAILURE" in done.stdout) == (2, True)
    refused = maestro_es("run", "--wait", "-t", "3", study)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--throttle can't be used" in refused.stderr
