"""Runs local steps under Maestro and maestro-es, and compares their environment and their files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.blanks import TRAVEL
from tools.side_by_side.pictures import MAESTROS_ALONE, OURS_ALONE
from tools.side_by_side.programs import ENVIRONMENT

WORDS = {
    "maestro": ("run", "-fg", "-y", "-s", "1"),
    "maestro-es": ("run", "--wait", "-y", "-s", "1"),
}

#: A function that the shell of the user has exported, as by Lmod and Environment Modules.
MODULE = {"BASH_FUNC_module%%": '() { echo "loaded $2"; }', "MY_INPUT_DIR": "/data/in"}

STUDIES = {
    "module": """\
description: {name: hangar, description: an unscheduled step builds with a module}
study:
- {name: assemble, description: d, run: {cmd: "module load gcc > got.txt 2>&1; echo $MY_INPUT_DIR; umask"}}
""",
    "blanks": TRAVEL,
    "zero": """\
description: {name: self, description: how a script is called}
study:
- {name: me, description: d, run: {cmd: "echo $0"}}
""",
    "team": """\
description: {name: commons, description: a study that a group shares}
study:
- {name: share, description: any step, run: {cmd: "stat -c %a . > mode.txt; touch new; mkdir sub"}}
""",
}

#: A process id in the name of an output file.
_PID = re.compile(r"\.\d+\.(out|err)$")


def _picture(study: Path) -> dict[str, tuple[str, str]]:
    """Return mode and text of each file and directory of a study that both programs create."""
    found = {".": (f"{study.stat().st_mode & 0o777:o}", "")}
    for path in study.rglob("*"):
        name = str(path.relative_to(study))
        whole = name + "/" * path.is_dir()
        ours = OURS_ALONE.fullmatch(whole) or ".claim." in name or name.startswith(".status")
        if ours or MAESTROS_ALONE.fullmatch(whole) or name.partition("/")[0] in {"meta", "logs", "status.csv"}:
            continue
        text = path.read_text().replace(str(study), "<STUDY>") if path.is_file() else ""
        found[_PID.sub(r".PID.\1", name)] = (f"{path.stat().st_mode & 0o777:o}", text)
    return found


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_both_programs_leave_the_same_behind(name: str, umask: int, tmp_path: Path):
    pictures = {}
    for program, words in WORDS.items():
        here = tmp_path / program
        here.mkdir(mode=0o755)
        (here / "study.yaml").write_text(STUDIES[name])
        (here / "study.yaml").chmod(0o666 & ~umask)
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words, "-o", "study", "study.yaml"],
            cwd=here,
            env={**os.environ, **ENVIRONMENT, **MODULE, "MAESTRO_ES_HOME": str(tmp_path / "home")},
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done
        pictures[program] = _picture(here / "study")

    assert pictures["maestro-es"] == pictures["maestro"]
