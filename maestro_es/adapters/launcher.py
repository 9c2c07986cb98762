"""``$(LAUNCHER)``: from the placeholder to the command that starts a parallel program. Pure.

::

    $(LAUNCHER)             all that the step has
    $(LAUNCHER)[4p]         4 procs          $(LAUNCHER)[2n]     2 nodes
    $(LAUNCHER)[2n,4p]      2 nodes, 4 procs, in any order
    $(LAUNCHER)[2,4]        the same: the old form, nodes first

The bracketed ones together may not ask for more than the step has, whether or not they run at the same time: so it is
in Maestro. There the bare form stays as it is beside a bracketed one, a bracket reaches to the last ``]`` of its line,
and nodes alone are refused; not so here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from maestro_es.adapters.base import noting, stop_if

_PLACEHOLDER = re.compile(r"\$\(LAUNCHER\)(?:\[(?P<request>[^\]\n]*)(?P<end>\]?))?")
_OLD_FORM = re.compile(r"\s*(?P<nodes>[0-9]+)\s*,\s*(?P<procs>[0-9]+)\s*")
_PART = re.compile(r"(?P<number>[0-9]+)(?P<unit>[np])")
_UNITS = {"n": "nodes", "p": "procs"}
#: What of a shell script the shell does not read as words of its own: an escaped character, text in quotes, a comment.
_NO_CODE = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<![^\s;])#[^\n]*""", re.DOTALL)
_CONTINUED = re.compile(r"\\\n")
#: A ``&`` of its own: the shell goes on without waiting for what stands before it.
_BACKGROUND = re.compile(r"(?<![&>|<\\])&(?![&>])")


class Resources(NamedTuple):
    """Nodes and procs as texts, which is what placeholders make of them; empty if there is no word of them."""

    nodes: str = ""
    procs: str = ""

    @classmethod
    def by(cls, run: Mapping[str, Any]) -> Resources:
        """Return what a mapping with Maestro's keys asks for."""
        return cls(str(run.get("nodes") or ""), str(run.get("procs") or ""))


def fill_in(text: str, bare: Resources, limits: Resources, launch: Callable[[Resources], str]) -> str:
    """Return a command with every launcher in place.

    `bare` is what a placeholder without brackets means, and `limits` what the step has. `launch` makes the scheduler's
    command.
    ValueError names all requests that can't be read, or that exceed the limits.
    """
    requests: list[tuple[str, Resources]] = []
    wrong: list[str] = []

    def command(match: re.Match[str]) -> str:
        request = match["request"]
        if request is None:
            return launch(bare)
        if not match["end"]:
            wrong.append(f"$(LAUNCHER)[{request}: the bracket is not closed on its line")
            return ""
        with noting(wrong):
            asked = read_request(request)
            requests.append((request, asked))
            return launch(asked)
        return ""

    filled = _PLACEHOLDER.sub(command, text)
    for index, what in enumerate(Resources._fields):
        with noting(wrong):
            _check(what, [(request, int(asked[index])) for request, asked in requests if asked[index]], limits[index])
    stop_if(wrong)
    return filled


def launchers(text: str, bare: Resources, counts: Callable[[str], bool]) -> list[Resources]:
    """Return what each launcher of a command asks for; `bare` is what the step has.

    `counts` says of what follows a launcher on its line whether that one counts. Comments start nothing. Where the
    shell starts something in the background, all may run at the same time, and `bare` stands for all of them: a ``&``
    in quotes starts nothing. A request that can't be read is left to `fill_in`.
    """
    code = _NO_CODE.sub(lambda match: "" if match[0].startswith("#") else match[0], text)
    resources = []
    for match in _PLACEHOLDER.finditer(_CONTINUED.sub(" ", code)):
        rest = match.string[match.end() :].partition("\n")[0]
        with contextlib.suppress(ValueError):
            asked = bare if match["request"] is None else read_request(match["request"])
            resources += [asked] if counts(rest) else []
    return [*resources, bare] if resources and _BACKGROUND.search(_NO_CODE.sub("_", code)) else resources


def read_request(request: str) -> Resources:
    """Return what stands between the brackets. ValueError if that is no request."""
    old_form = _OLD_FORM.fullmatch(request)
    counts: dict[str, str] = {}
    if old_form:
        counts = old_form.groupdict()
    else:
        for part in request.replace(",", " ").split():
            match = _PART.fullmatch(part)
            if not match or _UNITS[match["unit"]] in counts:
                raise _unreadable(request)
            counts[_UNITS[match["unit"]]] = match["number"]
    if not counts or not all(map(int, counts.values())):
        raise _unreadable(request)
    return Resources(**counts)


def _unreadable(request: str) -> ValueError:
    return ValueError(f"$(LAUNCHER)[{request}] can't be read: write [4p], [2n], [2n,4p], or [2,4] for nodes and procs")


def _check(what: str, requests: Sequence[tuple[str, int]], limit: str) -> None:
    """Raise ValueError if any requests, or all together, exceed what the step has; there may be no limit."""
    if not requests or not limit:
        return
    most = whole_number(limit, what)
    stop_if(
        f"$(LAUNCHER)[{request}] asks for {number} {what}, but the step has {most}"
        for request, number in requests
        if number > most
    )
    total = sum(number for _, number in requests)
    if total > most:
        raise ValueError(f"its launchers together ask for {total} {what}, but the step has {most}")


def whole_number(text: str, what: str) -> int:
    """Return a number that may have come from a placeholder. ValueError says what is none."""
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise ValueError(f"{what} is {text!r}; a launcher needs a whole number")
    return int(text)
