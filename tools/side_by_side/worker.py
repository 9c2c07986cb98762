"""A process that runs one of the two programs many times, and reads Maestro's pickles.

It is started as ``python worker.py maestro`` or ``python worker.py maestro-es``. Each line of its input is a request
in JSON, and each line of its output is the answer. ``{"run": [WORDS], "in": FOLDER}`` runs the command line in this
process. ``{"read": STUDY}`` returns what only Maestro's classes can read: its graph, and YAML with Python types.

Commands in one process save the imports, so that hundreds of studies can be compared. They run the same entry point as
a command. Nothing sleeps here: see ``stubs/sitecustomize.py``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any

SOURCE = "_source"

#: The time limit of a command. Maestro's conductor waits for ever for a step that depends on itself.
SECONDS = 60


def give_up(*_: object) -> None:
    """Stop a command that takes too long."""
    raise TimeoutError(f"no end after {SECONDS} s")


def run(main: Callable[[], object], words: list[str], folder: str) -> dict[str, Any]:
    """Run a command line to its end; returns its exit code, and its error if it has one."""
    sys.argv = words
    os.chdir(folder)
    code: Any = 0
    said = ""
    signal.alarm(SECONDS)
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    except Exception as error:  # noqa: BLE001 - Maestro's way to refuse a study
        code, said = 1, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    for handler in list(logging.getLogger("maestrowf.maestro").handlers):
        logging.getLogger("maestrowf.maestro").removeHandler(handler)
        handler.close()
    return {"exit": code or 0, "said": said}


def read(study: str) -> dict[str, Any]:
    """Return Maestro's expanded graph and the data under ``meta/``."""
    import dill  # noqa: PLC0415 - only Maestro's side has it
    import yaml  # noqa: PLC0415 - likewise

    [pickle] = [path for path in Path(study).glob("*.pkl") if not path.name.endswith(".study.pkl")]
    with pickle.open("rb") as file:
        graph = dill.load(file)  # noqa: S301 - Maestro has just written it
    instances = [
        {
            "name": name,
            "workspace": os.path.relpath(record.workspace.value, study),
            "scheduled": record.to_be_scheduled,
            "restart_limit": record.restart_limit,
            "params": [[key, str(value)] for key, value in record.params.items()],
        }
        for name, record in graph.values.items()
        if name != SOURCE
    ]
    edges = [[parent, child] for parent, children in graph.adjacency_table.items() for child in children]
    meta = {
        name: plain(yaml.load((Path(study) / "meta" / name).read_bytes(), yaml.UnsafeLoader))  # noqa: S506 - our own
        for name in ("metadata.yaml", "parameters.yaml")
    }
    return {"instances": instances, "edges": edges, "meta": meta}


def plain(value: Any) -> Any:
    """Return a value for JSON. Sets become sorted lists, as in our own ``meta/``."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool, NoneType)) else str(value)


def entry(program: str) -> Callable[[], object]:
    """Return the entry point of a program. A worker imports it only once."""
    if program == "maestro":
        from maestrowf.maestro import main as maestro  # noqa: PLC0415 - a worker has one program

        logging.disable(logging.CRITICAL)
        run_maestro: Callable[[], object] = maestro
        return run_maestro
    from maestro_es.cli.main import main as maestro_es  # noqa: PLC0415 - likewise

    return maestro_es


def serve(program: str) -> None:
    """Answer requests until the input ends. The output of the program is discarded."""
    answers = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    requests = os.fdopen(os.dup(0))
    os.dup2(null, 0)
    main = entry(program)
    signal.signal(signal.SIGALRM, give_up)
    for line in requests:
        request = json.loads(line)
        with open(request.get("stderr", os.devnull), "w") as stderr, contextlib.redirect_stderr(stderr):
            if "run" in request:
                answer = run(main, [program, *request["run"]], request["in"])
            else:
                answer = read(request["read"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    # Python puts the folder of a script on the path, and this folder has a corpus of Python files.
    sys.path[:] = [folder for folder in sys.path if folder != str(Path(__file__).parent)]
    serve(sys.argv[1])
