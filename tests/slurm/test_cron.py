"""Studies on a real Slurm that nothing drives but the crontab's line, started by a real cron."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from maestro_es.core import events as e
from maestro_es.core.model import State, StudyStatus
from maestro_es.store.verification import verify
from maestro_es.study.session import Session
from tests.fakes.cron import run_with_cron, who_ticked
from tools.slurm_cluster.configuration import Options

#: Steps of this host and of Slurm; one job is over its walltime, and two steps wait for all of another.
GOOD = """
description: {name: good, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
    - {name: prep, description: d, run: {cmd: 'SIGN; until [ -e $(SPECROOT)/go ]; do sleep 0.1; done; echo > f'}}
    - name: sim
      description: d
      run:
        procs: 1
        walltime: "00:02:00"
        depends: [prep]
        cmd: 'SIGN; cat $(prep.workspace)/f; [ $(N) != 2 ] || sleep 100; echo $(N) > n'
        restart: 'SIGN; echo $(N) > n'
    - {name: check, description: d, run: {cmd: 'SIGN; [ $(cat $(sim.workspace)/n) = $(N) ]', depends: [sim]}}
    - {name: post, description: d, run: {cmd: 'SIGN; cat $(sim.workspace)/*/n > all', depends: [sim_*], procs: 1}}
    - {name: last, description: d, run: {cmd: 'SIGN; cp $(post.workspace)/all all', depends: [check_*, post]}}
global.parameters:
    N: {values: [1, 2, 3], label: N.%%}
"""
BAD = """
description: {name: bad, description: d}
batch: {type: slurm, host: here, bank: mine, queue: debug}
study:
    - {name: fine, description: d, run: {cmd: SIGN, procs: 1}}
    - {name: wrong, description: d, run: {cmd: 'SIGN; exit 3', depends: [fine], procs: 1}}
"""

#: Slurm's commands lie in a directory of their own, and not where cron looks.
SCRIPT = """
for command in sbatch squeue sacct scontrol scancel sinfo; do mount --bind /dev/null /usr/bin/$command; done
maestro_es cron install
maestro_es run -y -o good good.yaml
maestro_es run -y -o bad bad.yaml
alone good; alone bad
touch go
start_cron
await 80 ended good; await 20 ended bad
sleep 1.5                                         # a tick after the end has nothing to say
stop_cron
"""


def _run(root: Path) -> tuple[StudyStatus, dict[str, State], list[Any]]:
    with Session(root) as study:
        verify(study.log)
        states = {step.name: step.state for step in study.graph.steps()}
        return study.status, states, [recorded.event for recorded in study.log.events()]


def test_the_crontabs_line_alone_drives_studies_on_slurm_to_their_end(start_cluster, tmp_path, monkeypatch):
    start_cluster(Options(ctld_speed=30))  # so that a walltime of a minute is over in seconds
    monkeypatch.setenv("MAESTRO_ES_HOME", str(tmp_path / "home"))
    (tmp_path / "site").mkdir()
    for command in ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo"):
        shutil.copy(str(shutil.which(command)), tmp_path / "site")
    for name, text in (("good", GOOD), ("bad", BAD)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("SIGN", "echo $MAESTRO_ES_TOKEN >> $(OUTPUT_PATH)/ledger"))

    run_with_cron(f"PATH={tmp_path}/site:$PATH\n{SCRIPT}", tmp_path)

    status, states, events = _run(tmp_path / "good")
    assert (status, set(states.values()), len(states)) == (StudyStatus.FINISHED, {State.FINISHED}, 9)
    assert (tmp_path / "good" / "last" / "all").read_text() == "1\n2\n3\n"
    assert [event.number for event in events if isinstance(event, e.StepRestarted)] == [1]
    submitted = [event.token for event in events if isinstance(event, e.JobSubmitted)]
    assert Counter((tmp_path / "good" / "ledger").read_text().split()) == Counter(submitted)
    assert len(set(submitted)) == len(submitted) == 10
    status, states, _ = _run(tmp_path / "bad")
    assert (status, states) == (StudyStatus.FAILURE, {"fine": State.FINISHED, "wrong": State.FAILED})
    assert who_ticked(tmp_path / "good") == who_ticked(tmp_path / "bad") == ["maestro-es tick --all"]
    said = [line for line in (tmp_path / "mail").read_text().splitlines() if line.startswith("maestro-es")]
    assert said == [f"maestro-es: {tmp_path / 'bad'}: the study has ended, and 1 of its steps has failed"]
    assert (tmp_path / "mail").read_text().count("\nSubject: ") == 1
