"""Claims and reports as files: who made them, and who may."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_es.core.observations import Claim, ClaimState, Report, ReportKind
from maestro_es.study.claims import abandon, claim_path, make_claim, make_workspace, read_claim
from maestro_es.study.reports import parse_report, read_reports, remove_reports
from tests.fakes.faults import with_fault

TOKEN = "feed0000-12-3-cafe"


def test_a_claim_that_nobody_made_is_none_even_without_a_workspace(tmp_path: Path):
    assert read_claim(tmp_path, TOKEN) == Claim(ClaimState.NONE)
    assert read_claim(tmp_path / "nowhere", TOKEN) == Claim(ClaimState.NONE)


def test_a_claim_names_the_job_its_host_and_its_boot(tmp_path: Path):
    assert make_claim(tmp_path, TOKEN, "77", "host-a", "boot-a", "123.4")
    assert read_claim(tmp_path, TOKEN) == Claim(ClaimState.JOB, "77", "host-a", "boot-a")


def test_a_claim_may_name_the_start_of_its_job(tmp_path: Path):
    claim_path(tmp_path, TOKEN).symlink_to("77 host-a boot-a 123.4 1796064802")
    assert read_claim(tmp_path, TOKEN).began_at == 1_796_064_802_000_000


def test_a_claim_can_be_made_once_and_by_its_owner_again(tmp_path: Path):
    assert make_claim(tmp_path, TOKEN, "1", "h", "b", "1")
    assert make_claim(tmp_path, TOKEN, "1", "h", "b", "1")
    assert not make_claim(tmp_path, TOKEN, "2", "h", "b", "2")
    assert abandon(tmp_path, TOKEN).job_id == "1"


def test_an_abandoned_attempt_can_not_be_claimed(tmp_path: Path):
    assert abandon(tmp_path, TOKEN) == Claim(ClaimState.ABANDONED)
    assert abandon(tmp_path, TOKEN) == Claim(ClaimState.ABANDONED)
    assert not make_claim(tmp_path, TOKEN, "1", "h", "b", "1")


def test_an_attempt_can_be_abandoned_before_its_workspace_was_made(tmp_path: Path):
    assert abandon(tmp_path / "a" / "b", TOKEN) == Claim(ClaimState.ABANDONED)


def test_the_claims_of_two_attempts_are_two_claims(tmp_path: Path):
    make_claim(tmp_path, TOKEN, "1", "h", "b", "1")

    assert read_claim(tmp_path, "feed0000-12-4-cafe") == Claim(ClaimState.NONE)


def test_of_many_who_want_the_claim_at_once_one_gets_it(tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda number: make_claim(tmp_path, TOKEN, str(number), "h", "b", str(number)), range(64)))

    assert sum(got) == 1
    assert read_claim(tmp_path, TOKEN).job_id == str(got.index(True))


READ = """
import sys; from pathlib import Path; from maestro_es.study.claims import read_claim
print(read_claim(Path(sys.argv[1]), sys.argv[2]).state.name)
"""


def test_a_claim_that_a_client_remembers_not_to_be_there_is_looked_for_in_the_directory(tmp_path: Path):
    """NFS and Lustre keep it for some seconds that a name was not there; to list the directory asks the server."""
    make_claim(tmp_path, TOKEN, "1", "h", "b", "1")
    path = claim_path(tmp_path, TOKEN)
    stale = with_fault([path], "readlink,readlinkat", "ENOENT", "-c", READ, tmp_path, TOKEN, when="1")
    assert stale.stdout == "JOB\n"
    missing = with_fault([path], "readlink,readlinkat", "ENOENT", "-c", READ, tmp_path, "feed0000-12-4-cafe")
    assert missing.stdout == "NONE\n"


def test_a_claim_in_words_that_we_do_not_know_is_still_somebodys(tmp_path: Path):
    os.symlink("made by a later version", claim_path(tmp_path, TOKEN))

    assert read_claim(tmp_path, TOKEN) == Claim(ClaimState.JOB)


def test_a_workspace_that_can_not_be_looked_into_is_an_error_and_no_answer(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        read_claim(tmp_path / "file", TOKEN)


# -- reports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        (f"{TOKEN}.started", ReportKind.STARTED, None),
        (f"{TOKEN}.exit.0", ReportKind.EXIT, 0),
        (f"{TOKEN}.exit.255", ReportKind.EXIT, 255),
        (f"{TOKEN}.stopped.143", ReportKind.STOPPED, 143),
        (f"{TOKEN}.timeout", ReportKind.TIMEOUT, None),
        (f"{TOKEN}.refused.1234", ReportKind.REFUSED, 1234),
        (f"{TOKEN}.refused.ƒ8X2abc", None, None),
        (f"{TOKEN}.refused.1234[7]", ReportKind.REFUSED, None),
        (f"{TOKEN}.unclaimed", ReportKind.UNCLAIMED, None),
        (f"{TOKEN}.dropped", ReportKind.DROPPED, None),
        (f"{TOKEN}.exit.{10**20}", ReportKind.EXIT, None),
        (f"{TOKEN}.exploded", None, None),
        (".exit.0", None, None),
        (TOKEN, None, None),
    ],
)
def test_the_name_of_a_report_says_it_all(name: str, kind: ReportKind | None, code: int | None):
    expected = kind and Report(TOKEN, kind, code, 5, name)

    assert parse_report(name, 5) == expected


def test_a_report_is_as_old_as_its_file(tmp_path: Path):
    path = tmp_path / f"{TOKEN}.exit.0"
    path.touch()
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))

    assert [report.at for report in read_reports(tmp_path)] == [1_700_000_000_123_456]


def test_what_is_no_file_is_no_report_whatever_its_name(tmp_path: Path):
    (tmp_path / f"{TOKEN}.exit.0").mkdir()
    (tmp_path / f"{TOKEN}.exit.1").symlink_to("nowhere")
    (tmp_path / f"{TOKEN}.exit.2").symlink_to(f"{TOKEN}.exit.2")

    assert read_reports(tmp_path) == []


def test_only_the_reports_that_are_named_are_removed_and_twice_does_no_harm(tmp_path: Path):
    (tmp_path / f"{TOKEN}.exit.0").touch()
    (tmp_path / "else").touch()
    reports = read_reports(tmp_path)
    remove_reports(tmp_path, reports)
    remove_reports(tmp_path, reports)

    assert os.listdir(tmp_path) == ["else"]


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o775), (0o007, 0o770), (0o022, 0o755), (0o077, 0o700)])
def test_a_workspace_has_the_mode_of_the_umask_and_is_never_for_all_to_write(tmp_path: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        make_workspace(tmp_path / "step" / "combination")
        make_workspace(tmp_path / "step" / "combination")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "step", tmp_path / "step/combination")] == [
        mode, mode,
    ]  # fmt: skip
