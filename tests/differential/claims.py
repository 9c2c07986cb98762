"""Studies that test the claims of ``docs/differences-from-maestro.md`` about refusals and warnings."""

from __future__ import annotations

HEAD = "description: {name: s, description: d}\n"
ONE = "study: [{name: a, description: d, run: {cmd: echo a}}]\n"
SLURM = "batch: {type: slurm, host: h, bank: b, queue: q}\n"


def step(run: str, more: str = "") -> str:
    """Return a study of one step."""
    return f"{HEAD}{more}study: [{{name: a, description: d, run: {{{run}}}}}]\n"


def parameter(values: str, label: str = "P.%%") -> str:
    """Return a study of one step that uses a parameter."""
    return step("cmd: echo $(P)", f"global.parameters: {{P: {{values: {values}, label: {label}}}}}\n")


#: Studies that only maestro-es refuses: the words of the page, the study, and the message.
REFUSED = {
    "a workspace is a file of ours": (
        "is one of the study's own files",
        HEAD + "study: [{name: events.db, description: d, run: {cmd: echo a}}]\n",
        "'events.db' can't have a directory",
    ),
    "two equal keys": (
        "two equal keys in a YAML mapping",
        step("cmd: echo a, cmd: echo b"),
        "The key 'cmd' appears twice",
    ),
    "a list in batch": (
        "is a list or a mapping, or contains a line break",
        step("cmd: x, nodes: 1", "batch: {type: slurm, host: h, bank: [b, c], queue: q}\n"),
        "In batch, bank is ['b', 'c'] (a list)",
    ),
    "a line break in batch": (
        "is a list or a mapping, or contains a line break",
        step("cmd: x, nodes: 1", 'batch: {type: slurm, host: h, bank: "b\\nc", queue: q}\n'),
        "In batch, bank is 'b\\nc'",
    ),
    "a key in exclusive": (
        "unknown keys inside `exclusive`",
        step("cmd: x, nodes: 1, exclusive: {allocation: true, lancher: true}", SLURM),
        "a mapping with the keys allocation and launcher, but found",
    ),
    "a walltime": (
        "A walltime that the scheduler of the batch type can't read",
        step('cmd: x, nodes: 1, walltime: "soon"', SLURM),
        "walltime is 'soon', which is not a time",
    ),
    "NUL": ("NUL characters", step('cmd: "echo \\0"'), "the character NUL"),
    "an unclosed quote": (
        "An `#SBATCH` line has an option without its value",
        step("nodes: 1, cmd: '#SBATCH --comment=\"x'", SLURM),
        "No closing quotation",
    ),
    "an option without its value": (
        "An `#SBATCH` line has an option without its value",
        step("nodes: 1, cmd: '#SBATCH --ntasks'", SLURM),
        "#SBATCH --ntasks has no value",
    ),
    "an array": (
        "An `#SBATCH` line has an option without its value",
        step("nodes: 1, cmd: '#SBATCH --array=1-3'", SLURM),
        "#SBATCH --array=1-3 can't be used there",
    ),
    "an option": (
        "An entry of `args` can't be passed on",
        step("cmd: x, nodes: 1", SLURM.replace("queue: q", "queue: q, args: {array: 1-3}")),
        "args: array can't be passed through",
    ),
}

#: Studies that both refuse. Maestro raises an exception, or does not name the place.
BROKEN_OFF = {
    "an unknown batch type": (
        "An unknown batch type",
        step("cmd: x", "batch: {type: condor}\n"),
        "'condor' is unknown",
    ),
    "no bank": (
        "a scheduler without host, bank or queue",
        step("cmd: x, nodes: 1", "batch: {type: slurm, host: h, queue: q}\n"),
        "Key 'bank' is missing from batch",
    ),
    "no queue": (
        "a scheduler without host, bank or queue",
        step("cmd: x, nodes: 1", "batch: {type: lsf, host: h, bank: b}\n"),
        "Key 'queue' is missing from batch",
    ),
    "labels in a list": ("Labels that are lists or null", parameter("[1]", "[x]"), "label must be a string"),
    "no label": ("Labels that are lists or null", parameter("[1]", "null"), "label must be a string"),
    "a key that is a number": (
        "keys that are not strings",
        step("cmd: x", "env: {variables: {1: x}}\n"),
        "The key '1' is read as a number",
    ),
    "a git url": (
        "A git url or ref that begins with `-`",
        step("cmd: x", "env: {dependencies: {git: [{name: G, path: $(OUTPUT_PATH), url: --upload-pack=x}]}}\n"),
        "url begins with '-'",
    ),
    "Latin 1": ("files that are not UTF-8", step("cmd: echo \udce9"), "not UTF-8"),
}

#: Studies about which only maestro-es warns.
WARNED = {
    "an ignored key": ("Keys that nothing reads", step("cmd: x", "notes: {a: 1}\n"), "The key 'notes' is ignored"),
    "no %%": ("A label without `%%`", parameter("[1, 2]", "P"), "are left out"),
    "a misspelt token": (
        "A placeholder that looks like a misspelt parameter or variable; the warning gives the nearest name",
        step("cmd: echo $(COLUOR)", "env: {variables: {COLOUR: red}}\n"),
        "Did you mean '$(COLOUR)'?",
    ),
    "octal": (
        "`007` is 7",
        step("cmd: echo $(N)", "env: {variables: {N: 007}}\n"),
        "007 without quotes is the number 7",
    ),
    "yes": ("`on` is True", parameter("[on]"), "on without quotes is True"),
    "underscore": ("`1_000` is 1000", parameter("[1_000]"), "1_000 without quotes is the number 1000"),
    "sexagesimal": ("`10:30:00` is 37800", parameter("[10:30:00]"), "10:30:00 without quotes is the number 37800"),
    "sources": ("Each entry of `sources`", step("cmd: x", "env: {sources: [make]}\n"), "Under sources, 'make'"),
    "a launcher": (
        "`$(LAUNCHER)` in a step that no scheduler runs",
        step("cmd: $(LAUNCHER) x", SLURM),
        "uses $(LAUNCHER), but no scheduler runs it",
    ),
    "a hidden parameter": (
        "A parameter that a variable of the same name hides",
        step("cmd: echo $(P)", "env: {variables: {P: 1}}\nglobal.parameters: {P: {values: [2], label: P.%%}}\n"),
        "The parameter 'P' never takes effect",
    ),
    "a token in batch": (
        "placeholders in `batch`, where nothing is replaced",
        step("cmd: x, nodes: 1", SLURM.replace("bank: b", "bank: $(B)") + "env: {variables: {B: b}}\n"),
        "In batch, $(B) stays as it is",
    ),
}
