"""A program for Flux's own Python, which may be as old as 3.6. It submits many jobs over one connection.

``flux python send_jobs.py FILE`` reads two lines for each job: the options of its submission as a JSON object, and its
description. The program sends all jobs before it waits for the first answer.

The output begins with the line "ready". If this line is missing, no job was sent. Each answer is a line with a JSON
array:

- the number of the job in the file,
- its id, or 0 if there is none,
- Flux's message, or an empty string.

`maestro_es.adapters.flux.client` calls this program, and `maestro_es.adapters.flux.output` reads the answers.
"""

import sys
from typing import Any

#: The first line of the output. Until this line is printed, no job has been sent.
READY = "ready"


def main(path: str) -> None:
    """Submit the jobs in a file, and print the answers."""
    import json  # noqa: PLC0415 - only now is the directory of this program no longer in sys.path

    import flux.job  # type: ignore[import-not-found] # noqa: PLC0415 - only Flux's own Python has it

    handle = flux.Flux()
    print(READY, flush=True)  # noqa: T201 - a program prints
    with open(path, encoding="utf-8") as jobs:
        sent = [_sent(flux.job, handle, next(jobs), json.loads(options)) for options in jobs]
    for number, future in enumerate(sent):
        print(json.dumps([number, *_answer(future)]), flush=True)  # noqa: T201 - a program prints


def _sent(job: Any, handle: Any, description: str, options: Any) -> Any:  # noqa: ANN401 - Flux is not typed
    """Send a job.

    Returns the future of its id, or the error. A TypeError means that this version does not know an option.
    """
    try:
        return job.submit_async(handle, description, **options)
    except (OSError, TypeError) as error:
        return error


def _answer(future: Any) -> "tuple[int, str]":  # noqa: ANN401 - Flux is not typed
    """Return the id of a job, and Flux's message."""
    if isinstance(future, Exception):
        return 0, str(future)
    try:
        return int(future.get_id()), ""
    except OSError as error:
        return 0, str(error.strerror)


if __name__ == "__main__":
    sys.path.pop(0)  # the directory of this program: its modules would hide those of Python
    main(sys.argv[1])
