"""Makes the environments that are measured: a wheel of this checkout, and what it is compared with.

Called as a process, `python -m tools.benches.installation FOLDER`, so that the bench itself stays small. Dependencies
are copied from the environment of this Python, and all modules are compiled, as pip does it for a user.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The only directories of the tree that no wheel is made of; besides those whose names begin with a dot.
NO_SOURCES = ("tests", "tools", "docs", "build", "dist")

#: What maestro-es is compared with. The second may be missing; then what needs it is not measured.
PEERS = ("maestrowf", "eventsourcing")


#: What the environments are made of, besides installed packages.
BENCHES = ROOT / "tools" / "benches"
PROGRAMS = (BENCHES / "programs", BENCHES / "idle_adapter", Path(__file__))


def install(folder: Path) -> None:
    """Make `ours`, with a wheel of this checkout and of the adapter that does nothing, and `peers`.

    Environments that are made of the same files stay as they are.
    """
    note, now = folder / "made-of", digest([*sources(), *PROGRAMS])
    if note.exists() and note.read_text() == now:
        return
    shutil.rmtree(folder, ignore_errors=True)
    ours, peers = (make_environment(folder / name) for name in ("ours", "peers"))
    wheels = [build_wheel(source, folder / "wheels") for source in (copy_sources(folder), BENCHES / "idle_adapter")]
    copy_packages(needed_by(["maestro-es"]) - {"maestro-es"}, ours)
    call(*PIP, "--python", folder / "ours/bin/python", "install", "--no-index", "--no-deps", *wheels)
    copy_packages(needed_by(PEERS), peers)
    for name, packages in (("ours", ours), ("peers", peers)):
        copy_programs(packages)
        call(folder / name / "bin/python", "-m", "compileall", "-q", folder / name / "lib")
    note.write_text(now)


def digest(paths: Iterable[Path]) -> str:
    """Return a digest of the Python that runs, and of these files and of all files in these directories."""
    found = hashlib.sha256(sys.version.encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def make_environment(folder: Path) -> Path:
    """Make an environment; return its directory of packages."""
    call(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
    [packages] = folder.glob("lib/python*/site-packages")
    return packages


def copy_sources(folder: Path) -> Path:
    """Copy what a wheel is made of: a `build` directory of long ago would add what the tree no longer has."""
    shutil.rmtree(folder / "source", ignore_errors=True)
    (folder / "source").mkdir()
    for path in sources():
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, folder / "source" / path.name)
    return folder / "source"


def sources() -> list[Path]:
    """Return the files and directories of the tree of which a wheel is made."""
    found = (path for path in ROOT.iterdir() if path.name not in NO_SOURCES and path.suffix != ".egg-info")
    return sorted(path for path in found if not path.name.startswith("."))


def build_wheel(source: Path, target: Path) -> Path:
    """Build a wheel without a network."""
    copy = target / source.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    call(*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", copy, copy / "source")
    [wheel] = copy.glob("*.whl")
    return wheel


def needed_by(names: Iterable[str]) -> set[str]:
    """Return these distributions and all that they need, as far as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            waiting += [re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line]
    return found


def copy_packages(names: Iterable[str], target: Path) -> None:
    """Copy distributions; a file outside of the directory of packages becomes a program of the environment."""
    for name in sorted(names):
        for file in metadata.files(name) or ():
            parts = file.parts[file.parts.index("bin") :] if ".." in file.parts else file.parts
            source = Path(str(file.locate()))
            if "__pycache__" in parts or not source.is_file():
                continue
            copy = (target.parents[2] if ".." in file.parts else target).joinpath(*parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)


def copy_programs(target: Path) -> None:
    """Copy our own programs, so that no program needs the checkout on its path."""
    for folder in ("tools", "tools/benches", "tools/benches/programs"):
        (target / folder).mkdir()
        for file in (ROOT / folder).glob("__init__.py" if folder != "tools/benches/programs" else "*.py"):
            shutil.copy(file, target / folder)


def call(*words: str | Path) -> None:
    """Run a command. It must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    install(Path(sys.argv[1]))
