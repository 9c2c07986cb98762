"""A file is replaced in one step, whatever happens in between."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es.files import read, replace_file, replaced_by
from tests.fakes.faults import leave_out, needs_strace

OLD, NEW = b"old\n", b"new\n" * 5000

REPLACE = f"""
import sys
from pathlib import Path
from maestro_es.files import replace_file
replace_file(Path(sys.argv[1]), {NEW!r}, 0o640, durable=sys.argv[2] == "durable")
"""

#: The calls with which a file may be replaced.
CALLS = "openat,fchmod,write,fsync,close,rename,unlink"

CALLED = {
    "durable": ["openat", "write", "fsync", "close", "rename", "openat", "fsync", "close"],
    "quick": ["openat", "write", "close", "rename"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def replace_traced(file: Path, how: str, inject: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Replace the file in a traced process; returns its end, and the calls that concern the file or its directory."""
    needs_strace()
    note = file.parent.with_name("trace")
    traced = f"-P {file} -P {file.parent} -P {file.parent}/.file.$$"  # with -D, the traced process has the shell's id
    options = f"-e trace={CALLS} {f'-e inject={inject}' if inject else ''}"
    shell = f'exec strace -D -qq -o {note} {traced} {options} "$@"'
    words = ["sh", "-c", shell, "sh", sys.executable, "-c", REPLACE, str(file), how]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done, [line.partition("(")[0] for line in note.read_text().splitlines() if "(" in line]


def all_calls(file: Path, how: str) -> list[str]:
    done, calls = replace_traced(file, how)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == NEW
    assert list(file.parent.iterdir()) == [file]
    return calls


@pytest.mark.parametrize("how", ["durable", "quick"])
def test_a_process_killed_at_any_call_leaves_the_old_or_the_new_file(file: Path, how: str):
    calls = all_calls(file, how)
    assert calls == CALLED[how]
    seen = []
    for number, call in enumerate(calls):
        file.write_bytes(OLD)
        done, _ = replace_traced(file, how, f"{call}:signal=KILL:when={calls[: number + 1].count(call)}")
        assert done.returncode == -9
        seen.append(file.read_bytes())
        assert all(replaced_by(path.name) == "file" for path in file.parent.iterdir() if path != file)

    assert seen == sorted(seen, reverse=True), "once it is new, it stays new"
    assert set(seen) <= {OLD, NEW}
    assert OLD in seen


@pytest.mark.parametrize(
    ("call", "error"),
    [("openat", "ENOSPC"), ("write", "ENOSPC"), ("write", "EDQUOT"), ("fsync", "EIO"), ("rename", "EACCES")],
)
def test_a_file_that_can_not_be_replaced_is_as_it_was_and_nothing_remains(file: Path, call: str, error: str):
    done, _ = replace_traced(file, "durable", f"{call}:error={error}:when=1")
    assert "OSError" in done.stderr or "PermissionError" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f": '{file}'")
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_leaves_the_file_as_it_was(file: Path):
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(file.parent)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        leave_out("no full file system, because none can be mounted")
    try:
        file.write_bytes(OLD)
        with pytest.raises(OSError, match="No space left"):
            replace_file(file, NEW, 0o600, durable=True)
        assert file.read_bytes() == OLD
        assert list(file.parent.iterdir()) == [file]
    finally:
        subprocess.run(["umount", "-l", file.parent], check=True)


def test_a_directory_that_can_not_be_written_leaves_the_file_as_it_was(file: Path):
    """Root may write in each directory, but not on a file system that is mounted read-only."""
    file.parent.chmod(0o500)
    mount = ["mount", "--bind", "-o", "ro", str(file.parent), str(file.parent)]
    root = not os.geteuid()
    if root and subprocess.run(mount, capture_output=True, check=False).returncode:
        leave_out("no read-only directory, because none can be mounted")
    try:
        with pytest.raises(OSError, match=r"Permission denied|Read-only"):
            replace_file(file, NEW, 0o600, durable=True)
        assert list(file.parent.iterdir()) == [file]
        assert file.read_bytes() == OLD
    finally:
        if root:
            subprocess.run(["umount", "-l", file.parent], check=True)
        file.parent.chmod(0o700)


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "pipe"])
@pytest.mark.timeout(30)
def test_what_exists_at_the_temporary_name_is_neither_followed_nor_waited_for(file: Path, kind: str):
    trap, other = temporary(file), file.with_name("other")
    if kind == "file":
        trap.write_bytes(b"left by a killed process with the same id, and longer than the new content")
        trap.chmod(0o666)
    elif kind == "pipe":
        os.mkfifo(trap)
    else:
        trap.symlink_to(other)
    if kind == "link":
        other.write_bytes(OLD)

    replace_file(file, b"new", 0o600, durable=True)
    assert file.read_bytes() == b"new"
    assert stat.filemode(file.lstat().st_mode) == "-rw-------"
    assert not os.path.lexists(trap)
    assert other.exists() is (kind == "link")
    assert kind != "link" or other.read_bytes() == OLD


def test_a_directory_at_the_temporary_name_is_left_alone(file: Path):
    temporary(file).mkdir()
    with pytest.raises(OSError, match=temporary(file).name):
        replace_file(file, NEW, 0o600, durable=False)
    assert file.read_bytes() == OLD
    assert temporary(file).is_dir()


def test_a_link_is_replaced_and_not_followed(file: Path):
    link = file.with_name("link")
    link.symlink_to(file)
    replace_file(link, b"new", 0o600, durable=False)
    assert not link.is_symlink()
    assert (file.read_bytes(), link.read_bytes()) == (OLD, b"new")


@pytest.mark.parametrize(
    ("mask", "mode", "expected"),
    [
        (0o022, 0o755, 0o755),
        (0o077, 0o755, 0o700),
        (0o002, 0o666, 0o664),
        (0o027, 0o764, 0o740),
        (0o177, 0o755, 0o700),
        (0o777, 0o600, 0o600),
        (0, 0o600, 0o600),
    ],
)
def test_the_umask_limits_the_mode_but_not_for_the_owner(
    file: Path, umask: Callable[[int], int], mask: int, mode: int, expected: int
):
    file.chmod(0o604)
    umask(mask)
    replace_file(file, NEW, mode, durable=False)
    umask(0o022)
    assert stat.S_IMODE(file.stat().st_mode) == expected


def test_content_may_come_in_pieces_and_an_error_in_between_changes_nothing(file: Path):
    def pieces(*, broken: bool) -> Iterator[bytes]:
        yield b"a" * 100_000
        if broken:
            raise KeyboardInterrupt
        yield b"b"

    with pytest.raises(KeyboardInterrupt):
        replace_file(file, pieces(broken=True), 0o600, durable=True)
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]

    replace_file(file, pieces(broken=False), 0o600, durable=True)
    assert file.read_bytes() == b"a" * 100_000 + b"b"


def test_the_error_of_a_directory_in_the_place_of_a_file_names_it(tmp_path: Path):
    with pytest.raises(IsADirectoryError) as raised:
        read(tmp_path)
    assert str(raised.value.filename) == str(tmp_path)
