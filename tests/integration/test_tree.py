"""What the settings and the documents say of the tree is so."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_es import __main__ as entry
from maestro_es import errors, study_file
from maestro_es.adapters.registry import ADAPTERS, SCHEDULERS
from maestro_es.compat.modules import HOME_OF
from maestro_es.core import file_names
from maestro_es.core.model import StudyStatus
from maestro_es.errors import MaestroError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "maestro_es"
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()

#: What stands for many paths.
PATTERNS = {"schema/migrations/NNNN_words.sql", "schema/views/NAME.sql"}


def test_programs_in_python_are_checked_like_modules():
    files = [path for folder in ("tools", "bin") for path in (ROOT / folder).iterdir() if path.is_file()]
    programs = {path for path in files if "python" in path.read_text().partition("\n")[0] and not path.suffix}
    settings = (ROOT / "pyproject.toml").read_text()

    assert programs
    for path in programs:
        name = f"{path.parent.name}/{path.name}"
        assert settings.count(f'"{name}"') == 2, f"{name}: ruff's extend-include, mypy's files"


def test_no_program_imports_a_test():
    """Code that both need is in tools/, so that programs work in a checkout without the tests."""
    programs = [path for path in (ROOT / "tools").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    imports = re.compile(r"^\s*(?:from|import) tests\b|-m.,? .tests\.", re.MULTILINE)

    assert [path.name for path in programs if imports.search(path.read_text())] == []


def test_the_map_of_the_architecture_is_the_tree():
    """Of commands there are many, each named like its module; `study_file` has a map of its own."""
    found = set(mapped(ARCHITECTURE.partition("## Where things are\n\n")[2].partition("\n\n")[2].partition("\n\n")[0]))
    found |= {f"study_file/{name}" for name in re.findall(r"^    (\w+)  ", str(study_file.__doc__), re.MULTILINE)}
    modules = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("[!_]*.py")}

    assert found == {str(path) for path in modules if path.parts[0] != "cli"}


def mapped(block: str) -> Iterator[str]:
    """Yield the modules by their paths: what stands left of two blanks, below their package."""
    package = ""
    for line in block.splitlines():
        names = line.strip().partition("  ")[0]
        if names.endswith("/"):
            package = names
        else:
            yield from ((package if line.startswith("      ") else "") + name for name in names.split(", "))


def test_each_answer_of_the_index_exists():
    """In the section "Where is ...?", `file::name` names a class, function, method or constant that `file` defines."""
    rows = ARCHITECTURE.partition("## Where is ...?\n")[2].partition("\n## ")[0].splitlines()
    targets = [re.findall(r"`([\w./-]+)::([\w.]+)`", row) for row in rows if row.startswith("| ") and "?" in row]

    assert len(targets) >= 20
    assert [row for row in targets if not row] == []
    for path, name in (target for row in targets for target in row):
        folder = ROOT if path.startswith("schema/") else PACKAGE
        assert name in names_in(folder / path), f"{path}::{name}"


def names_in(path: Path) -> set[str]:
    """Return what a file defines: of a module also methods, of a script of the shell its functions and variables."""
    text = path.read_text()
    if path.suffix == ".sh":
        return set(re.findall(r"^(\w+)(?:\(\)|=)", text, re.MULTILINE))
    if path.suffix == ".sql":
        return set(re.findall(r"^CREATE VIEW (\w+)", text, re.MULTILINE))
    body = ast.parse(text).body
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    functions = [
        f"{kind.name}.{node.name}" for kind in classes for node in kind.body if isinstance(node, ast.FunctionDef)
    ]
    return {*functions, *(name for node in body for name in top_level(node))}


def top_level(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines."""
    match node:
        case ast.ClassDef() | ast.FunctionDef():
            yield node.name
        case ast.Assign():
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


#: What a reader opens for a few lines, outside of `cli`, where a module is a command. A module with less than
#: `SMALL` lines has to be worth its name; an empty ``__init__.py`` does not count.
SMALL, MOST_SMALL = 60, 15

#: A module with more lines has more than one thought.
LONGEST = 360


def test_few_modules_are_small_and_none_is_long():
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    small = [path for path, count in lines.items() if 0 < count < SMALL and not path.startswith("cli/")]

    assert len(small) <= MOST_SMALL, sorted(small)
    assert [path for path, count in lines.items() if count > LONGEST] == []


def test_no_class_has_the_name_of_another_one():
    """But a class of ``compat/`` has the name that Maestro gives it, perhaps without its underscore."""
    places: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not (
                path.parent.name == "compat" and {node.name, f"_{node.name}"} & HOME_OF.keys()
            ):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))

    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


#: One thing has one name: what an argument of such a type is called. Another word may stand before it, as in
#: `other_step`. A command of the command line has an argument STUDY, and Maestro's `study` is a `Study`.
ROLES = {"other", "origin", "blocker"}
ARGUMENTS = {"StepRecord": "step", "StudyDir": "study_dir", "StudyRecord": "study_record", "Session": "study"}


def test_arguments_of_one_type_have_one_name():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        arguments = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.arg)]
        for node in arguments:
            kind = ast.unparse(node.annotation).removesuffix(" | None") if node.annotation else ""
            name = ARGUMENTS.get(kind)
            if name and not node.arg.endswith(name) and node.arg not in ROLES:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.arg}: {kind}, and not {name}")
            elif node.arg == "study" and kind not in {"Session", ""} and path.parent.name not in {"cli", "compat"}:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: study: {kind}, and not Session")

    assert wrong == []


def test_processes_are_started_in_one_place():
    """Modules that start any are import-linter's; what `os` has for it is looked for here.

    `children` starts no program, but forks: each process of `drive` is a copy of it.
    """
    starts = re.compile(r"\bos\.(?:posix_spawn\w*|spawn\w+|exec[lv]\w*|fork\w*|system|popen)\b")
    assert {path.name for path in PACKAGE.rglob("*.py") if starts.search(path.read_text())} == {
        "command.py",
        "children.py",
    }


def test_files_are_replaced_and_synced_in_one_module():
    """`Path.replace` has one argument, and `str.replace` two."""

    def is_owned(call: ast.Call) -> bool:
        name = ast.unparse(call.func)
        is_method = name.endswith(".replace") and not name.endswith("structs.replace")
        return (is_method and len(call.args) == 1 and not call.keywords) or name in {
            "os.replace",
            "os.fsync",
            "os.fdatasync",
            "os.sync",
        }

    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    calls = {path.name for path, tree in trees.items() for node in ast.walk(tree) if _is(node, is_owned)}
    assert calls == {"files.py"}


def test_only_the_adapter_of_a_scheduler_knows_it():
    """No other module may depend on its name, the extension of its scripts, its directive or its variables."""
    others = [facts for facts in SCHEDULERS.built_in() if facts.name != "local"]
    names = {facts.name for facts in others}
    parts = [part for facts in others for part in (facts.extension, facts.directive, *facts.jobs.job_ids)]
    parts += [name.strip("*") for facts in others for name in (*facts.jobs.of_job, *facts.jobs.protocol)]
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}"
        for path in PACKAGE.rglob("*.py")
        if "adapters" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
        if node.value in names or any(part in node.value for part in parts)
    ]

    assert found == []


#: Names of schedulers, and of their commands.
SCHEDULER = (
    "slurm", "sbatch", "squeue", "scancel", "sacct", "sacctmgr", "scontrol", "sinfo", "srun", "flux", "lsf", "bsub",
    "bjobs", "bkill", "jsrun", "pbs", "qsub", "qstat", "cobalt",
)  # fmt: skip

#: The modules outside of `adapters` that mention a scheduler, and why they may.
MENTIONS = {
    "drivers/batch_job.py": "docstring: what a follow-up job waits for",
    "drivers/scrontab.py": "it is a part of Slurm",
    "drivers/tick_sources.py": "docstring: what a scrontab is",
    "cli/cron.py": "help: what a scrontab is",
    "cli/retry.py": "help: which lines of an edited script count",
    "cli/exporting.py": "help: --export has the syntax of sbatch",
    "cli/groups.py": "the command that a user of Slurm may type for cancel",
    "core/exported_variables.py": "docstrings: --export has the syntax of sbatch",
    "core/environment.py": "docstring: an example",
    "core/walltime.py": "docstring: which notations are read alike",
    "study_file/placeholders.py": "message: an example of a batch type",
    "compat/modules.py": "the names of Maestro's modules",
    "compat/script_adapters.py": "the names of Maestro's adapters",
    "adapters/runner.sh": "the variable with the start of a job; comment: an example",
    "adapters/script.py": "docstring: how text in quotes is read",
}


def test_each_mention_of_a_scheduler_outside_of_its_adapter_has_a_reason():
    """Comments and docstrings count, too. An adapter is a module or a package of its name."""
    adapters = "|".join(re.escape(name) for name in ADAPTERS)
    own = re.compile(rf"adapters/(?:(?:{adapters})(?:/\w+)?|schedulers)\.py")
    word = re.compile(rf"(?i)(?<![a-z])(?:{'|'.join(SCHEDULER)})(?![a-z])")
    files = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".sh", ".sql"}]
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in files}

    assert {path for path, text in texts.items() if word.search(text) and not own.fullmatch(path)} == {*MENTIONS}


def test_no_adapter_knows_another_one_and_nobody_else_knows_a_scheduler_s():
    def imported(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{name.name}" for name in node.names)

    found = set()
    for path in PACKAGE.rglob("*.py"):
        for name in ADAPTERS:
            belongs = re.compile(rf"maestro_es\.adapters\.{name}(?:\.|$)")
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if any(map(belongs.match, imported(path))) and not belongs.match(module):
                found.add((name, str(path.relative_to(PACKAGE))))

    assert {(name, path) for name, path in found if name != "local" or path.startswith("adapters/")} == {
        ("local", "adapters/registry.py")  # the adapter that every study has
    }


def _is(node: ast.AST, wanted: Callable[[ast.Call], bool]) -> bool:
    return isinstance(node, ast.Call) and wanted(node)


#: What only one module of the package may write, as a pattern, and that module.
OWNED = {
    "the form of an attempt's token": (
        r"study_id\[|\w*token\.(?:r?split|r?partition|startswith|endswith|removeprefix)\(", "core/attempt_token.py"
    ),
    "who takes the tick lock": (r"(?:study|dir)\.tick_lock\b", "study/locks.py"),
    "the text of a claim": (r"_ABANDONED|\.claim\((?:f|\")|make_claim\([^)]*f\"", "study/claims.py"),
    "whether a retry limit is reached": (
        r"\.(?:rejections|restarts|hardware_failures|abandoned)(?: \+ 1)? [<>]", "core/resubmission_limits.py"
    ),
    "the defaults of retry limits": (
        r"(?:submission_attempts|(?:restart|hardware|abandon)_limit)(?:: int)? ?= ?[1-9]|(?:RESTART|ABANDON)_LIMIT = ",
        "core/resubmission_limits.py",
    ),
    "how long a job is looked for": (r"JOB_GRACE_SECONDS = |grace_seconds=[\d.]", "core/grace.py"),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "owner"), OWNED.values(), ids=OWNED)
def test_one_module_owns_each_format(pattern: str, owner: str):
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    assert {path for path, text in texts.items() if re.search(pattern, text)} == {owner}


def test_one_module_names_the_files_of_a_study():
    """Docstrings may name them, too. What a step is called, or a setting, is no name of a file."""
    names = {
        value for value in vars(file_names).values() if isinstance(value, str) and re.fullmatch(r"[\w.-]+", value)
    }
    names -= {file_names.__package__, file_names.__name__, file_names.__spec__.origin}
    assert {".maestro-es", "events.db", "inbox"} <= names
    found = set()
    for path in PACKAGE.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        documents = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        words = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in documents]
        if any(word.value in names or ".maestro-es" in str(word.value) for word in words):
            found.add(str(path.relative_to(PACKAGE)))
    assert found == {"core/file_names.py"}


def test_exit_codes_are_those_of_the_errors_and_of_the_table():
    """`__main__` has copies, because it can import nothing before its path is clean."""
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MaestroError)]
    codes = {errors.EXIT_OK, errors.EXIT_INTERRUPTED, *(kind.exit_code for kind in kinds)}
    assert table == codes | {status.value for status in StudyStatus}
    assert (entry._TRY_AGAIN, entry._INTERRUPTED) == (errors.EXIT_TRY_AGAIN, errors.EXIT_INTERRUPTED)
    runner = (PACKAGE / "adapters/runner.sh").read_text()
    assert re.findall(r"^try_again=(\d+)", runner, re.MULTILINE) == [str(errors.EXIT_TRY_AGAIN)]
    assert {*re.findall(r"\bexit (\$?\"?\$?\w+)", re.sub("#.*", "", runner))} == {'"$try_again', '"$code'}

    def is_spelt(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and re.search(r"(?:exit|_fail)$", ast.unparse(node.func)):
            choices = [(word.body, word.orelse) if isinstance(word, ast.IfExp) else (word,) for word in node.args]
            words = [word for choice in choices for word in choice if isinstance(word, ast.Constant)]
            return any(isinstance(word.value, int) for word in words)
        return isinstance(node, ast.Constant) and node.value in {errors.EXIT_TRY_AGAIN, errors.EXIT_INTERRUPTED}

    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"}
    assert {path.name for path, tree in trees.items() if any(map(is_spelt, ast.walk(tree)))} == {"errors.py"}


#: Names that the package has had, and the standard terms that took their place. No definition may use one again.
REPLACED = {
    "JobMissed": "JobNotFound", "JobFound": "JobReappeared", "SubmissionUnanswered": "SubmissionUncertain",
    "Draft": "NewEvent", "drafts": "new_events", "Book": "UnitOfWork", "take_in": "record", "conclude": "close",
    "Room": "Slots", "rooms": "count_slots", "CAREFUL": "IN_DOUBT_BATCH", "PATIENCE": "BACKOFF",
    "capacity": "queue_limit", "settle": "reconcile", "settle_attempts": "reconcile_attempts",
    "Sighting": "AttemptObservation", "sighting": "observed", "sightings": "attempts", "patient": "within_grace",
    "cut_short": "interrupted", "start_known": "start_recorded", "Silence": "NoAnswer", "silent": "scheduler_down",
    "silence": "last_error", "Moment": "TickInputs", "ask_ahead": "prefetch", "salt": "token_suffix",
    "strays": "stale_reports", "World": "RecoveryFindings", "look_around": "scan", "Fate": "ImportDecision",
    "Caller": "Submitter", "_take_back": "_withdraw", "Full": "QueueFull", "NotCalled": "NotAttempted",
    "Unwritable": "ScriptFailed", "replacing": "overwriting", "Restored": "ImportedLog", "Context": "Runtime",
    "Seen": "JobInfo", "Queued": "QueueEntry", "recall": "query_accounting, as_of", "remains": "has_orphans",
    "hear": "on_readable", "wish": "request_text", "as_asked": "attribution",
    "last_asked": "read_cursor", "Here": "InstallState", "border": "frontier", "fallen": "failed",
    "Look": "Observer, Observed", "foresee": "preview", "Foreseen": "Prediction",
    "TOKEN": "SIGN", "_token_of": "_pattern_of",
    "Asked": "Resources", "OpenStudy": "Session", "HARDWARE_FAILED": "NODE_FAILED",
    "Given": "StudyContext", "Wanted": "ImportOptions", "Place": "Location, KeyPath", "Written": "WrittenScalar",
    **dict.fromkeys(
        ("border", "fallen", "found", "fresh", "given", "here", "place", "said", "says", "told", "wanted", "words"),
        "the noun of what it is, such as state, detail, message, path, frontier",
    ),
}  # fmt: skip

#: Where such a name has another meaning, which it keeps.
KEPT = {
    ("cli/history.py", "Moment"), ("study/environment_file.py", "salt"), ("core/environment.py", "given"),
}  # fmt: skip

#: Modules and packages that have another name now.
MOVED = (
    "adapters/faults", "adapters/imported", "adapters/slurm_answers", "adapters/slurm_cpus", "adapters/slurm_jobs",
    "adapters/slurm_options", "adapters/variables", "audit/last_asked", "audit/moment", "audit/past",
    "audit/read_cursor", "audit/view", "audit/which_script", "cli/advance", "cli/asking", "cli/dry_tick", "core/book",
    "core/building", "core/evidence", "core/export", "core/outcomes", "core/repair", "core/retry_limits",
    "core/room", "core/settle", "core/upcasts", "digests", "poller/ask_ahead", "poller/ask_host", "poller/caller",
    "poller/claims", "poller/clock", "poller/copies", "poller/correct", "poller/create", "poller/creation",
    "poller/damage", "poller/environment_changes", "poller/environment_file", "poller/exclusive_creation",
    "poller/foresee", "poller/import_log", "poller/import_study", "poller/imported_steps", "poller/inbox",
    "poller/last_tick", "poller/lock", "poller/observing", "poller/open_study", "poller/outputs",
    "poller/overwrite", "poller/preflight", "poller/recover", "poller/recovered_steps", "poller/recovery_scan",
    "poller/replace", "poller/repositories", "poller/restore", "poller/scripts", "poller/sharing",
    "poller/state_dir", "poller/status_csv", "poller/study_dir", "poller/surroundings", "poller/tick_inputs",
    "poller/traces", "poller/workspace", "report/plain", "spec", "store/registry", "store/export", "study/outputs",
    "study/state_dir", "study_file/environment", "study_file/generator_environment", "study_file/generator_tools",
    "study_file/paths", "study_file/request_file", "study_file/stand_in", "study_file/study_text",
    "study_file/walltimes",
)  # fmt: skip


def test_no_name_that_was_replaced_comes_back():
    found = []
    for path in PACKAGE.rglob("*.py"):
        place = str(path.relative_to(PACKAGE))
        names = set(defined(ast.parse(path.read_text())))
        found += [(place, name, REPLACED[name]) for name in names & REPLACED.keys() if (place, name) not in KEPT]

    assert found == []
    assert [place for place in MOVED if [*PACKAGE.glob(f"{place}.py"), *PACKAGE.glob(f"{place}/*.py")]] == []


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module defines: classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


def test_who_silences_a_linter_says_why():
    silent = re.compile(r"#[ ](?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\])$", re.MULTILINE)
    files = [path for top in ("maestro_es", "tools") for path in (ROOT / top).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in files if path.suffix == ".py" or path.parent.name == "tools"}

    assert not [str(path) for path, text in texts.items() if silent.search(text)]


def test_the_reference_of_the_python_interface_is_current_and_complete():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/api-reference", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_each_path_that_is_named_exists(page: str):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`([\w.*-]+/[\w./*-]*)`", text)) - PATTERNS

    assert named
    for name in named:
        assert [*ROOT.glob(name), *PACKAGE.glob(name), *ROOT.glob(f"{name}.*")], name


def test_no_named_tuple_has_another_base_which_python_3_10_refuses():
    files = [*(ROOT / "maestro_es").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    several = re.compile(r"^class \w+\(.*NamedTuple, |, NamedTuple\)", re.MULTILINE)
    assert [str(file) for file in files if several.search(file.read_text())] == []
