"""The host comes up again: what ran is gone, and the study goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maestro_es.adapters.host import Host, this_host
from maestro_es.core import events as e
from maestro_es.core.model import Cause, Settings, State, StudyStatus
from tests.fakes.faults import leave_out
from tools.testbed.processes import end_all_under, wait_for
from tools.testbed.studies import Bench, Step

REPOSITORY = Path(__file__).parents[3]


def host_after(boot: int) -> Host:
    """Return this host after it came up again so many times."""
    return this_host()._replace(boot_id=f"0000000{boot}-boot")


def lasting(bench: Bench) -> list[Step]:
    """Return two steps whose first attempt goes on for a minute, and one that waits for them."""
    cmd = f"{bench.sign}; case $MAESTRO_ES_TOKEN in *-[12]-1-*) sleep 60;; esac"
    return [Step("a", cmd), Step("b", cmd), Step("c", bench.sign, parents=("a", "b"))]


def test_steps_lost_by_a_reboot_are_submitted_again_and_the_log_says_why(bench: Bench):
    bench.create(*lasting(bench))
    bench.tick()
    wait_for(lambda: len(bench.signed()) == 2)
    end_all_under(bench.root)

    bench.tick(host=host_after(1))
    before = this_host().boot_id
    reboots = [(event.before, event.after) for event in bench.events(e.RebootDetected)]
    assert reboots == [(before, host_after(1).boot_id)]
    lost = bench.events(e.HardwareFailed)
    assert [(event.number, event.reason) for event in lost] == [(1, "lost: the host was rebooted")] * 2
    assert [(bench.step(name).state, bench.step(name).attempt) for name in "ab"] == [(State.RUNNING, 2)] * 2
    wait_for(lambda: bench.tick(host=host_after(1)) is StudyStatus.FINISHED)
    assert len(bench.signed()) == 5
    assert len(bench.events(e.RebootDetected)) == 1
    bench.check()


def test_a_step_lost_by_a_reboot_goes_on_from_its_checkpoint(bench: Bench):
    """Also if nobody has looked between its start and the reboot."""
    bench.create(Step("a", f"{bench.sign}; sleep 60", restart=f"{bench.sign}; touch went-on"))
    bench.tick()
    wait_for(bench.signed)
    end_all_under(bench.root)

    wait_for(lambda: bench.tick(host=host_after(1)) is StudyStatus.FINISHED)

    assert (bench.root / "a" / "went-on").exists()
    assert len(bench.signed()) == 2
    bench.check()


def test_a_step_that_ended_before_the_reboot_is_not_run_again(bench: Bench):
    bench.create(Step("a", bench.sign))
    bench.tick()
    wait_for(lambda: any(bench.dir.inbox.iterdir()))

    assert bench.tick(host=host_after(1)) is StudyStatus.FINISHED
    assert bench.signed() == [bench.step("a").token]


def test_a_job_that_was_requested_before_the_reboot_and_not_recorded_is_settled(bench: Bench):
    """The host went down in the middle of the tick: one step had its runner started, the other had not."""

    class Died(BaseException):
        pass

    def die(effect: str) -> None:
        if effect == "submit":
            raise Died

    bench.create(*lasting(bench))
    with pytest.raises(Died):
        bench.tick(on_effect=die)
    wait_for(bench.signed)
    end_all_under(bench.root)

    host = host_after(1)
    wait_for(lambda: bench.tick(host=host) is StudyStatus.FINISHED)
    assert [event.reason for event in bench.events(e.HardwareFailed)] == ["lost: the host was rebooted"]
    assert len(bench.events(e.AttemptAbandoned)) == 1
    assert len(bench.signed()) == 4
    bench.check()


def test_reboots_without_end_fail_the_step_within_the_limit(bench: Bench):
    bench.settings = Settings(hardware_limit=2)
    bench.create(Step("a", f"{bench.sign}; sleep 60"))
    for boot in range(3):
        bench.tick(host=host_after(boot))
        wait_for(lambda boot=boot: len(bench.signed()) == boot + 1)  # type: ignore[misc]  # mypy infers no default
        end_all_under(bench.root)

    assert bench.tick(host=host_after(3)) is StudyStatus.FAILURE
    assert bench.step("a").cause is Cause.LOST
    assert bench.step("a").message == "lost: the host was rebooted; resubmitted 2 times, which is the limit"


def test_another_boot_id_of_the_kernel_is_a_reboot(bench: Bench, tmp_path: Path):
    bench.create(*lasting(bench))
    bench.tick()
    wait_for(lambda: len(bench.signed()) == 2)
    end_all_under(bench.root)
    (tmp_path / "boot_id").write_text("b0070000-1111-2222-3333-444455556666\n")
    script = f"""
        mount --bind '{tmp_path}/boot_id' /proc/sys/kernel/random/boot_id || exit 77
        while :; do
            said=$('{sys.executable}' -m tests.fakes.one_tick '{bench.root}') || exit 1
            [ "$said" = RUNNING ] || break
        done
        echo "$said"
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        leave_out("no other boot id, because none can be mounted")

    assert (done.returncode, done.stdout, done.stderr) == (0, "FINISHED\n", "")
    assert [event.after[:8] for event in bench.events(e.RebootDetected)] == ["b0070000"]
    assert [event.reason for event in bench.events(e.HardwareFailed)] == ["lost: the host was rebooted"] * 2
    assert len(bench.signed()) == 5
    bench.check()
