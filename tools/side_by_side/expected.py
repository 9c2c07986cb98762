"""The list of all expected differences from Maestro, with the study, the place, the lines and the documented reason.

The reasons are sentences of ``docs/differences-from-maestro.md``. A study of the corpus without an entry has no
differences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tools.side_by_side.pictures import Differences
from tools.side_by_side.programs import Verdict


@dataclass(frozen=True)
class Expected:
    """The difference in a study: the same lines in each file whose path matches the pattern `where`.

    `words` are in the documentation. If maestro-es refuses the study, `says` is a part of its message.
    """

    words: str
    where: str
    lines: tuple[str, ...]
    says: str = ""


def unexplained(differences: Differences, expected: tuple[Expected, ...]) -> list[str]:
    """Return the unexpected differences, and the expected ones that did not occur (empty: all are explained)."""
    left = []
    for what, lines in differences.items():
        known = [line for entry in expected if fnmatchcase(what, entry.where) for line in entry.lines]
        if sorted(lines) != sorted(known):
            left.append(f"{what}: {lines}, expected {known}")
    for entry in expected:
        if not any(fnmatchcase(what, entry.where) for what in differences):
            left.append(f"{entry.where} does not differ, but should in {entry.lines}")
    return left


def _accepted(words: str) -> tuple[Expected, ...]:
    """Expect that Maestro refuses a study or crashes, and maestro-es does not."""
    return (Expected(words, "exit code", ("-1", "+0")),)


def _refused(words: str, says: str) -> tuple[Expected, ...]:
    """Expect that maestro-es refuses a study with this message, and Maestro does not."""
    return (Expected(words, "exit code", ("-0", "+1"), says),)


_NESTED = "Variables nested to any depth and in any order"
_SPACED = "step names with spaces in such placeholders"
_COMMAS = "a comma in a value becomes `\u201a` and a line break becomes a space"
_ADDED = "Options that Maestro omits are in a separate header"
_ADDED_LINE = "+# added by maestro-es: options that Maestro leaves out"
_CPUS = "and the CPUs that the step's launchers take"
_NO_PROCS = "in a step with nodes but no procs, give no `-n`"
_BRACKETS = "`$(LAUNCHER)[1n,2p]` also works if `nodes` or `procs` is a placeholder"
_LSF = "LSF: scripts contain no empty `#BSUB -W`. A walltime that is a number means minutes."
_QUOTED = "If the value of a directive contains spaces, quotes or backslashes, the value is quoted"
_COLLISION = "Two instances with the same workspace or the same name"
_UNUSED = "If the value of a parameter contains the placeholder of a parameter that the step does not use"
_PATHS = "Placeholders in dependency paths, in `OUTPUT_PATH` and in step names"

_FLUX_VERSION = Expected(
    "scripts contain no `(flux version)`, because no broker is queried",
    "*.flux.sh",
    ("-#MAESTRO-INFO (flux version) 0.66.0",),
)
_NO_BANK = Expected("no empty `--bank=`", "*.flux.sh", ("-#flux: --bank=",))


def _cpus(where: str, number: int) -> Expected:
    """Expect that a Slurm script requests this number of CPUs of a node."""
    return Expected(_CPUS, where, (_ADDED_LINE, f"+#SBATCH --mincpus={number}"))


#: The differences in the studies of the corpus.
EXPECTED: dict[str, tuple[Expected, ...]] = {
    "040-tokens-in-a-step-name.yaml": _accepted(_PATHS),
    "042-deeper-variables.yaml": (Expected(_NESTED, "look/look.sh", ("-ls $(RUN)/logs", "+ls /data/run/logs")),),
    "043-sources.yaml": (
        Expected(
            "`sources`: each entry becomes a line before the step's commands",
            "compile/*.sh",
            ("+source /opt/tools/env.sh", "+module load gcc"),
        ),
    ),
    "044-no-space-between-workspaces.yaml": _accepted("`$(a.workspace)/$(b.workspace)` without a space between"),
    "045-workspace-of-a-name-with-spaces.yaml": (
        Expected(_SPACED, "second/second.sh", ("-ls $(first step.workspace)", "+ls <HERE>/study/first_step")),
    ),
    "054-dollar-in-variables.yaml": (
        Expected(_NESTED, "go/go.sh", ("-cd $(HIDDEN)/deeper", "+cd $HOME/.hidden/deeper")),
    ),
    "050-tokens-of-unused-parameters.yaml": (
        Expected(_UNUSED, "lone/*/lone_FIRST.to_(LAST).sh", ("-echo to a", "+echo to $(LAST)")),
        Expected(_UNUSED, "lone/*/lone_FIRST.from_(LAST).sh", ("-echo from b", "+echo from $(LAST)")),
    ),
    "067-labels-with-punctuation.yaml": (
        Expected(
            _COMMAS,
            "status.csv",
            (
                "-odd_P.e,f,--,odd/P.ef,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,P:e,f",
                "+odd_P.e\u201af,--,odd/P.ef,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,P:e\u201af",
                "-next_P.e,f,--,next/P.ef,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,P:e,f",
                "+next_P.e\u201af,--,next/P.ef,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,P:e\u201af",
            ),
        ),
    ),
    "068-kinds-of-values.yaml": (
        Expected(
            _COMMAS,
            "status.csv",
            (
                "-show_V.[1, 'two'],--,show/V.1_two,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:[1, 'two']",
                "+show_V.[1\u201a 'two'],--,show/V.1_two,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:[1\u201a 'two']",
            ),
        ),
    ),
    "069-values-that-a-table-minds.yaml": (
        Expected(
            _COMMAS,
            "status.csv",
            (
                "-show_V.a,b.W.1,2,--,show/V.ab.W.12,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:a,b;W:1,2",
                "+show_V.a{0}b.W.1{0}2,--,show/V.ab.W.12,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:a{0}b;W:1{0}2".format(
                    "\u201a"
                ),
            ),
        ),
    ),
    "070-values-of-two-lines.yaml": (
        Expected(
            _COMMAS,
            "status.csv",
            (
                "-show_V.one",
                "-two,--,show/V.onetwo,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:one",
                "-two",
                "+show_V.one two,--,show/V.onetwo,DRYRUN,--:--:--,--:--:--,--,--,<TIME>,0,V:one two",
            ),
        ),
    ),
    "066-label-with-a-slash-and-a-restart.yaml": _accepted("in steps with a restart script"),
    "072-no-parameters.yaml": _accepted("An empty `global.parameters:`"),
    "090-one-directory-for-two.yaml": _refused(_COLLISION, "would run in the same directory 'run/N.ab'"),
    "091-two-steps-of-one-name.yaml": _refused("Two steps with the same name", "The step name 'run' appears twice"),
    "092-any-order.yaml": _accepted("Steps in any order of declaration"),
    "136-slash-in-the-name-of-a-study.yaml": _accepted("Names of studies with `/`"),
    "101-empty-values.yaml": _refused("Empty `values`", "Global parameter 'N' has no values"),
    "103-a-very-long-name.yaml": _refused(
        "Names that would make a file name of more than 255 characters", "at most 255 are allowed"
    ),
    "109-directory-without-a-name.yaml": _refused(_COLLISION, "its directory would be 'run/', which is not a name"),
    "116-generator-that-cannot-be-pickled.yaml": _accepted("A pgen file whose generator Maestro can't pickle"),
    "127-tokens-in-a-path-dependency.yaml": _accepted(_PATHS),
    "128-relative-path-of-a-repository.yaml": (
        Expected(
            "Relative paths of git dependencies",
            "build/build.sh",
            ("-make -C clones/CODE", "+make -C <HERE>/clones/CODE"),
        ),
    ),
    "129-dependency-in-a-variable.yaml": (
        Expected(_NESTED, "read/read.sh", ("-cat $(INPUTS)/table.csv", "+cat <HERE>/beside/data/table.csv")),
    ),
    "133-tokens-in-output-path.yaml": (
        Expected(
            _PATHS,
            "directory",
            ("-<HERE>/results/$(DAY)/path-tokens_<TIME>", "+<HERE>/results/today/path-tokens_<TIME>"),
        ),
        Expected(
            _PATHS,
            "meta/metadata.yaml",
            (
                "-  _source: <HERE>/results/$(DAY)/path-tokens_<TIME>",
                "+  _source: <HERE>/results/today/path-tokens_<TIME>",
            )
            * 2,
        ),
    ),
    "200-slurm.yaml": (_cpus("solve/solve.slurm.sh", 4),),
    "201-slurm-restart.yaml": (_cpus("march_on/*/march_on_*.slurm.sh", 4), _cpus("march_on/*/march on_*.slurm.sh", 4)),
    "202-slurm-all-keys.yaml": (
        Expected(_NO_PROCS, "inherited/inherited.slurm.sh", ("-srun -n  -N 3 app", "+srun -N 3 app")),
    ),
    "204-slurm-launchers.yaml": (
        Expected(
            "`$(LAUNCHER)[1, 2]` does not produce a double space",
            "old/old.slurm.sh",
            ("-srun -n  2 -N 1 app", "+srun -n 2 -N 1 app"),
        ),
        _cpus("procs/procs.slurm.sh", 2),
        _cpus("old/old.slurm.sh", 2),
        _cpus("both/both.slurm.sh", 4),
        _cpus("turned/turned.slurm.sh", 4),
        _cpus("several/several.slurm.sh", 6),
        _cpus("cores/cores.slurm.sh", 16),
    ),
    "205-slurm-parameters.yaml": (_cpus("scale/*.slurm.sh", 4),),
    "206-slurm-bracketed-parameters.yaml": _accepted(_BRACKETS),
    "207-slurm-bare-and-bracketed.yaml": (
        Expected(
            "`$(LAUNCHER)` in the same step is replaced too",
            "mixed/mixed.slurm.sh",
            ("-$(LAUNCHER) second", "+srun -n 8 -N 2 second"),
        ),
        _cpus("mixed/mixed.slurm.sh", 4),
    ),
    "208-slurm-bracket-later-in-the-line.yaml": _accepted("if another `]` follows in the line"),
    "210-slurm-nodes-only.yaml": (
        Expected(_NO_PROCS, "wide/wide.slurm.sh", ("-srun -n  -N 2 app", "+srun -N 2 app")),
    ),
    "211-slurm-launcher-of-nodes.yaml": _accepted(
        "`$(LAUNCHER)[2n]`, and `$(LAUNCHER)` in a step with nodes but no procs"
    ),
    "213-slurm-more-keys.yaml": (_cpus("for-lsf/*.slurm.sh", 2), _cpus("for-flux/*.slurm.sh", 2)),
    "215-slurm-hashed.yaml": tuple(
        Expected(
            _SPACED,
            f"end/*/end_instance_{index}.slurm.sh",
            (f"-ls $(a step.workspace) {index + 1}", f"+ls <HERE>/study/a_step {index + 1}"),
        )
        for index in range(3)
    ),
    "216-slurm-quotes.yaml": (
        Expected(
            _QUOTED,
            "say/say.slurm.sh",
            ('-#SBATCH --comment "says "yes" \\ no"', '+#SBATCH --comment "says \\"yes\\" \\\\ no"'),
        ),
    ),
    "217-slurm-slash-in-a-job-name.yaml": (
        Expected(
            "A `/` in the name of a job, of its outputs and of its restart script becomes `_`",
            "open/*.slurm.sh",
            (
                '-#SBATCH --job-name="open_FILE.in/a"',
                '-#SBATCH --output="open_FILE.in/a.out"',
                '-#SBATCH --error="open_FILE.in/a.err"',
                '+#SBATCH --job-name="open_FILE.in_a"',
                '+#SBATCH --output="open_FILE.in_a.out"',
                '+#SBATCH --error="open_FILE.in_a.err"',
            ),
        ),
    ),
    "218-slurm-cpus-of-launchers.yaml": (
        _cpus("two/*.slurm.sh", 2),
        _cpus("twonodes/*.slurm.sh", 4),
        _cpus("cores/*.slurm.sh", 4),
        _cpus("gpus/*.slurm.sh", 2),
        Expected(_CPUS, "task/*.slurm.sh", (_ADDED_LINE, "+#SBATCH --cpus-per-task=2")),
    ),
    "232-lsf-walltimes.yaml": (Expected(_LSF, "none/none.lsf.sh", ("-#BSUB -W ",)),),
    "233-lsf-number-of-minutes.yaml": _accepted(_LSF),
    "234-lsf-shell.yaml": (Expected(_LSF, "run/run.lsf.sh", ("-#BSUB -W ",)),),
    "235-lsf-parameters.yaml": (Expected(_LSF, "scale/*.lsf.sh", ("-#BSUB -W ",)),),
    "236-lsf-procs-only.yaml": _accepted(_LSF),
    "237-lsf-reservation-of-two-words.yaml": (
        Expected(_QUOTED, "run/run.lsf.sh", ("-#BSUB -U two words", '+#BSUB -U "two words"')),
    ),
    "260-flux.yaml": (_FLUX_VERSION,),
    "261-flux-launchers.yaml": (
        _FLUX_VERSION,
        Expected(_ADDED, "more/more.flux.sh", (_ADDED_LINE, "+#flux: -g 1")),
        Expected(
            "`$(LAUNCHER)[1, 2]` does not produce a double space",
            "old/old.flux.sh",
            ("-flux run -N 1 -n  2 app", "+flux run -N 1 -n 2 app"),
        ),
    ),
    "262-flux-walltimes.yaml": (_FLUX_VERSION, _NO_BANK),
    "263-flux-arguments.yaml": (_FLUX_VERSION, _NO_BANK),
    "264-flux-exclusive.yaml": (_FLUX_VERSION, _NO_BANK),
    "265-flux-exclusive-for-all.yaml": (_FLUX_VERSION, _NO_BANK),
    "266-flux-more-keys.yaml": (
        _FLUX_VERSION,
        Expected(_ADDED, "cores/cores.flux.sh", (_ADDED_LINE, "+#flux: -c 2", "+#flux: -g 1")),
        Expected(_ADDED, "urgent/urgent.flux.sh", (_ADDED_LINE, "+#flux: --urgency=24", "+#flux: --flags=waitable")),
    ),
    "267-flux-old-arguments.yaml": (_FLUX_VERSION, _NO_BANK),
    "268-flux-parameters.yaml": (_FLUX_VERSION, _NO_BANK),
    "269-flux-older-interface.yaml": _refused(
        "The Flux interface version is 0.49.0, Maestro's default; any other `version` is refused",
        "version is '0.26.0'. Scripts are written for 0.49.0",
    ),
    "307-slurm-threads-without-a-launcher.yaml": (
        Expected(_ADDED, "pair/pair.slurm.sh", (_ADDED_LINE, "+#SBATCH --mincpus=2")),
    ),
    "309-flux-with-a-launcher.yaml": (_FLUX_VERSION,),
    "311-flux-every-key.yaml": (
        _FLUX_VERSION,
        Expected(_ADDED, "a/a.flux.sh", (_ADDED_LINE, "+#flux: --urgency=0", "+#flux: --flags=waitable")),
        Expected(
            "`$(LAUNCHER)` in the same step is replaced too",
            "a/a.flux.sh",
            (
                "-$(LAUNCHER) x",
                "+flux run -N 2 -n 4 -c 2 -g 1 --setopt=o.fastload --setopt=o.mpi=spectrum --setopt=setattr.foo=bar x",
            ),
        ),
    ),
    "312-words-under-sources.yaml": (
        Expected(
            "`sources`: each entry becomes a line before the step's commands", "tidy/tidy.sh", ("+make", "+intel")
        ),
    ),
}

#: The differences in every study. The comparison leaves them out, and the corpus asserts them in each study.
EVERYWHERE = (
    "no pickles and no `meta/environment.yaml`",
    "`logs/` has no files",
    "with sorted lists in place of Python's sets",
    "`events.db` and `.maestro-es/` are additional",
    "The parameters of a step are in the order of the study file",
)

#: The reasons why only maestro-es may refuse a random study: its message, and the words of the documentation.
REFUSED = {re.compile(r"would run in the same directory|both produce '|which is not a name|is taken by"): _COLLISION}

#: The reasons why only Maestro may refuse a random study: its message, and the words of the documentation.
BROKEN = {re.compile(r"^FileNotFoundError: .*\.restart\.sh'$"): "in steps with a restart script"}


#: The possible differences in the Slurm scripts of a random study.
_FOR_LAUNCHERS = re.compile(r"\+#SBATCH --(mincpus|cpus-per-task)=\d+")


def _for_launchers(what: str, lines: tuple[str, ...]) -> bool:
    """Return whether a script differs only in the options of its launchers."""
    added, *options = lines
    return what.endswith(".slurm.sh") and added == _ADDED_LINE and all(map(_FOR_LAUNCHERS.fullmatch, options))


def explained(verdict: Verdict) -> bool:
    """Return whether a random study has only expected differences."""
    if all(_for_launchers(what, lines) for what, lines in verdict.differences.items()):
        return True
    match verdict.differences.get("exit code"):
        case ("-0", "+1"):
            return any(says.search(verdict.ours.said) for says in REFUSED)
        case ("-1", "+0"):
            return any(says.search(verdict.maestro.said) for says in BROKEN)
    return False
