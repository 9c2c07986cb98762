"""Boots of one host, and of two hosts of one name."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.hosts import was_rebooted
from maestro_es.core.model import Boot
from tests.unit.core.making import Study

HOUR = 3_600_000_000
SECOND = 1_000_000
NAME = "node"


def told(*boots: Boot) -> Study:
    """Return a study in which processes of these boots wrote, one after the other."""
    study = Study()
    for boot in boots:
        study.do(
            e.InvocationStarted(
                actor="me", host=boot.host, boot_id=boot.boot_id, pid=8, command="tick", version="1",
                machine=boot.machine, booted_at=boot.booted_at,
            )
        )  # fmt: skip
    return study


def boot(name: str, machine: str = "", booted_at: int = 0) -> Boot:
    return Boot(NAME, name, machine, booted_at)


def rebooted(*boots: Boot, before: str = "a", now: Boot) -> bool:
    return was_rebooted(told(*boots).graph.study, before, now)


@pytest.mark.parametrize("machine", ["", "m"])
def test_another_boot_id_is_a_reboot_if_nothing_speaks_against_it(machine: str):
    assert rebooted(boot("a", machine), now=boot("b", machine))
    assert rebooted(boot("a", machine), boot("b", machine), now=boot("b", machine))
    assert rebooted(boot("a", machine), boot("b", machine), now=boot("c", machine))


def test_hosts_with_other_machine_ids_are_two():
    assert not rebooted(boot("a", "m1"), now=boot("b", "m2"))
    assert not rebooted(boot("a", "m1"), boot("b", "m2"), now=boot("b", "m2"))


def test_a_machine_id_that_only_one_has_tells_nothing():
    assert rebooted(boot("a", "m1"), now=boot("b"))
    assert rebooted(boot("a"), now=boot("b", "m1"))


@pytest.mark.parametrize("machine", ["", "clone"])
def test_hosts_whose_boots_take_turns_are_two(machine: str):
    a, b = boot("a", machine), boot("b", machine)
    assert not rebooted(a, b, before="b", now=a)
    assert not rebooted(a, b, a, before="b", now=a)
    assert not rebooted(a, b, a, now=b)
    assert not rebooted(a, b, a, now=boot("c", machine)), "it is unknown which of the two was rebooted"


def test_of_two_hosts_with_machine_ids_each_may_be_rebooted():
    a, b = boot("a", "m1"), boot("b", "m2")
    assert rebooted(a, b, a, now=boot("c", "m1"))
    assert not rebooted(a, b, a, before="b", now=boot("c", "m1"))


def test_a_host_that_came_up_while_the_other_one_was_heard_of_is_another():
    """Event times of these studies are near zero."""
    study = told(boot("a", booted_at=-HOUR * 9)).graph.study
    assert not was_rebooted(study, "a", boot("b", booted_at=-HOUR))
    assert was_rebooted(study, "a", boot("b", booted_at=HOUR))


@pytest.mark.parametrize("machine", ["", "clone"])
@pytest.mark.parametrize("later", [-20 * SECOND, -SECOND, SECOND, 20 * SECOND])
def test_hosts_that_came_up_at_the_same_time_are_two_if_the_first_was_heard_of_later(machine: str, later: int):
    study = told(boot("a", machine, -HOUR)).graph.study
    assert not was_rebooted(study, "a", boot("b", machine, -HOUR + later))


def test_a_boot_id_that_changes_while_the_kernel_runs_on_is_that_of_a_container_which_began_again():
    study = told(boot("a", booted_at=-HOUR)).graph.study
    assert was_rebooted(study, "a", boot("b", booted_at=-HOUR + 10_000))


def test_that_the_first_host_does_not_know_when_it_came_up_changes_nothing():
    assert not rebooted(boot("a"), now=boot("b", booted_at=-HOUR))


def test_a_host_that_is_rebooted_soon_after_it_came_up_is_one():
    study = told(boot("a", booted_at=-30 * SECOND)).graph.study
    assert was_rebooted(study, "a", boot("b", booted_at=2 * SECOND))
    again = told(boot("a", booted_at=-50 * SECOND), boot("b", booted_at=-SECOND)).graph.study
    assert was_rebooted(again, "b", boot("c", booted_at=20 * SECOND))
    assert was_rebooted(again, "a", boot("c", booted_at=20 * SECOND))


@pytest.mark.parametrize("boots", [(), (boot("b", booted_at=-5 * SECOND),)])
def test_a_reboot_that_sets_the_clock_a_little_back_is_one(boots: tuple[Boot, ...]):
    study = told(boot("a", booted_at=-HOUR), *boots).graph.study
    assert was_rebooted(study, "a", boot("b", booted_at=-5 * SECOND))


def test_a_reboot_that_has_set_the_clock_far_back_is_one_as_soon_as_the_clock_is_right():
    """A host without a clock of its own may tick before it is synchronised."""
    wrong, right = boot("b", booted_at=-9 * HOUR), boot("b", booted_at=SECOND)
    assert not rebooted(boot("a", booted_at=-HOUR), now=wrong)
    assert rebooted(boot("a", booted_at=-HOUR), wrong, now=right)


def test_hosts_of_other_names_have_nothing_to_do_with_it():
    other = Boot("other", "o", "m2")
    assert rebooted(boot("a", "m"), other, boot("a", "m"), other, now=boot("b", "m"))


def test_a_study_remembers_the_boots_that_were_heard_of_last():
    boots = told(*(boot(str(number)) for number in range(40))).graph.study.boots
    assert [each.boot_id for each in boots] == [str(number) for number in range(8, 40)]
