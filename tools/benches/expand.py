"""Large study files."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from tools.benches.timing import MAESTRO_ES, call, median

MAESTRO = Path(sys.executable).with_name("maestro")

#: What lets Maestro start without its sleeps.
QUICK = str(Path(__file__).parents[1] / "side_by_side" / "stubs")

EXPANDED = {
    # Instances of their own: the cost is that of 10,000 directories, scripts and rows.
    "10,000 steps in 5,000 chains": (
        5000,
        (
            "- {name: a, description: d, run: {cmd: 'echo $(N) > out'}}\n"
            "- {name: b, description: d, run: {cmd: 'cat $(a.workspace)/out', depends: [a]}}\n"
        ),
    ),
    # A funnel with parameters, as in Maestro's own sample: it adds each edge once for each row of parameters.
    "1,000 steps, and 10 that wait for all of them": (
        1000,
        (
            "- {name: a, description: d, run: {cmd: 'echo $(N) $(G) > out'}}\n"
            "- {name: g, description: d, run: {cmd: 'cat $(a.workspace)/*/out $(G)', depends: [a_*]}}\n"
        ),
    ),
}


def bench(place: Path) -> None:
    """The files of large studies, and nothing run."""
    for number, (what, (rows, steps)) in enumerate(EXPANDED.items()):
        spec = place / f"expand{number}.yaml"
        values, groups = ", ".join(map(str, range(rows))), ", ".join(str(row % 10) for row in range(rows))
        spec.write_text(
            f"description: {{name: large, description: d}}\nstudy:\n{steps}global.parameters:\n"
            f"  N: {{values: [{values}], label: N.%%}}\n  G: {{values: [{groups}], label: G.%%}}\n"
        )
        ours = median(partial(expand_anew, spec, *MAESTRO_ES, "run", "--dry"), 3)
        theirs = median(partial(expand_anew, spec, MAESTRO, "run", "--dry", "-fg", "-y", PYTHONPATH=QUICK), 1)
        print(f"expand  {what}: {ours:.2f} s, Maestro {theirs:.2f} s: ratio {theirs / ours:.1f}")
        alone = median(partial(call, *MAESTRO_ES, "validate", spec), 3)
        print(f"expand  {what}, without writing them: {alone:.2f} s: ratio {theirs / alone:.1f} (goal 20)")


def expand_anew(spec: Path, *words: str | Path, **environment: str) -> None:
    """Call a command that expands a study file into a new directory."""
    call(*words, "-o", Path(tempfile.mkdtemp(dir=spec.parent)) / "study", spec, **environment)
