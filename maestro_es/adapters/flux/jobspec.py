"""Makes job descriptions (jobspecs, Flux RFC 25) from the output of ``flux batch`` and ``flux submit`` with --dry-run.

Neither command needs a broker, but both take twenty times as long as ``flux job submit``. So a tick makes one template
for all jobs with the same options, and fills in the name, the directory, the command, and the output files of each.

``flux batch`` starts the runner once, as the first program of a separate Flux instance. ``flux submit`` would start it
once for each task. So the template of a step with ``nested: false`` is changed to one task, which has all the
resources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from maestro_es.adapters.base import Job
from maestro_es.adapters.command import Completed
from maestro_es.core.submission import InDoubt, Outcome, Rejected

#: The marks in a template for the name, the directory and the output files of a job.
_NAME, _FOLDER, _OUT, _ERR = "maestro-es-name", "/maestro-es-directory", "maestro-es.out", "maestro-es.err"

#: The name of the copy of a script that ``flux batch`` makes. The runner is on a shared file system and needs no copy.
_COPY = "{{tmpdir}}/script"

#: How a message about the options of a job begins. Usage may precede it.
_BAD_OPTION = re.compile(r"flux[- ](batch|submit): (ERROR|error): ")

#: Options that are not part of a job description, but arguments of its submission.
_OF_SUBMISSION = ("--urgency", "--flags")

#: Options that are filled in, and one that only ``flux batch`` has.
_FILLED_IN, _OF_BATCH = ("--job-name", "--cwd"), ("--conf",)

#: Options by which a user changes the environment of a job.
_OF_ENVIRONMENT = ("--env", "-x=")


class Request(NamedTuple):
    """The commands that describe and submit a job.

    `command` prints the template, if the path of a script follows. `submission` holds the options of its submission.
    """

    command: tuple[str, ...]
    submission: tuple[str, ...]


def output_name(job: Job, ending: str) -> str:
    """Return the name of an output file, in which Flux replaces the id."""
    return f"{job.name}.{{{{id}}}}.{ending}"


def full_name(job: Job) -> str:
    """Return the name under which a job is submitted. It ends with the token, by which later ticks find the job."""
    return f"{job.name}.{job.token}"


def request(job: Job, options: Sequence[str], *, nested: bool) -> Request:
    """Return the request for a job with these options."""
    outputs = {f"--output={output_name(job, 'out')}": _OUT, f"--error={output_name(job, 'err')}": _ERR}
    described, submission = list[str](), list[str]()
    remaining = iter(options)
    for word in remaining:
        name, sign, _ = word.partition("=")
        dropped = name in _FILLED_IN or (name in _OF_BATCH and not nested)
        if dropped or name in _OF_SUBMISSION:
            whole = word if sign else f"{word}={next(remaining, '')}"
            submission += [] if dropped else [whole]
        else:
            described.append(f"{name}={outputs[word]}" if word in outputs else word)
    kind = "batch" if nested else "submit"
    return Request((kind, "--dry-run", *described, f"--job-name={_NAME}", f"--cwd={_FOLDER}"), tuple(submission))


def keywords(submission: Sequence[str]) -> bytes:
    """Return the options of a submission as a JSON object, with the arguments of Flux's `submit_async`."""
    options: dict[str, int | bool] = {}
    for word in submission:
        name, _, text = word.removeprefix("--").partition("=")
        options |= {"urgency": int(text)} if name == "urgency" else dict.fromkeys(text.split(","), True)
    return msgspec.json.encode(options)


def fill(template: str, job: Job, options: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """Return the description of a job. ValueError if the template is not a job description.

    If an option of the user changes the environment, the environment stays as Flux has made it.
    """
    spec = msgspec.json.decode(template)
    try:
        system, [task] = spec["attributes"]["system"], spec["tasks"]
        command = task["command"]
        if command[-1] == _COPY:
            system.pop("files", None)
        task["command"] = [*command[:-1], str(job.runner), job.token, str(job.workspace), job.script, str(job.study)]
        if "broker" not in command[:2]:
            task["count"] = {"total": 1}
        system["cwd"] = str(job.workspace)
        system["job"]["name"] = full_name(job)
        if not any(word.startswith(_OF_ENVIRONMENT) for word in options):
            system["environment"] = {name: text for name, text in environment.items() if name != "FLUX_URI"}
        spec["attributes"]["system"] = _filled(system, {_OUT: output_name(job, "out"), _ERR: output_name(job, "err")})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"flux --dry-run has printed a job description of an unknown form: {error!r}") from None
    return msgspec.json.encode(spec)


def _filled(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with the names of files filled in."""
    if isinstance(node, dict):
        return {key: _filled(inner, names) for key, inner in node.items()}
    return names.get(node, node) if isinstance(node, str) else node


def read_refusal(done: Completed) -> Outcome:
    """Return the outcome if a job could not be described. Either Flux refused the options, or the command failed."""
    lines = done.err.strip().splitlines()
    last = " ".join(lines[-1].split()) if lines else f"flux --dry-run ended with {done.code} and said nothing"
    return Rejected(last, done.code) if done.code > 0 and _BAD_OPTION.match(last) else InDoubt(last)
