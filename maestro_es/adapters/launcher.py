"""Replaces ``$(LAUNCHER)`` with the command that starts a parallel program.

::

    $(LAUNCHER)             all resources of the step
    $(LAUNCHER)[4p]         4 procs          $(LAUNCHER)[2n]     2 nodes
    $(LAUNCHER)[2n,4p]      2 nodes, 4 procs, in any order
    $(LAUNCHER)[2,4]        the same: the old form, nodes first

As in Maestro, all launchers with brackets together must not request more than the step has, even if they do not run at
the same time. Three rules of Maestro do not apply here. If a command has a launcher with brackets, Maestro does not
replace launchers without brackets. In Maestro, a bracket extends to the last ``]`` on the line. Maestro refuses nodes
without procs.

The adapter decides which command starts the program.
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
#: Parts of a shell script that contain no operators of the shell: an escaped character, text in quotes, a comment.
_NO_CODE = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<![^\s;])#[^\n]*""", re.DOTALL)
_CONTINUED = re.compile(r"\\\n")
#: A single ``&``, after which the shell continues without waiting for the command before it.
_BACKGROUND = re.compile(r"(?<![&>|<\\])&(?![&>])")


class Resources(NamedTuple):
    """Nodes and procs as strings, because they may come from placeholders (empty: not given)."""

    nodes: str = ""
    procs: str = ""

    @classmethod
    def by(cls, run: Mapping[str, Any]) -> Resources:
        """Return the resources that a mapping with Maestro's keys requests."""
        return cls(str(run.get("nodes") or ""), str(run.get("procs") or ""))


def fill_in(text: str, bare: Resources, limits: Resources, launch: Callable[[Resources], str]) -> str:
    """Return a command with every launcher replaced.

    `bare` holds the resources of a placeholder without brackets, and `limits` those of the step. `launch` returns the
    scheduler's command for resources.

    ValueError names all requests that can't be read or that exceed the limits.
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


def custom_launch(template: object, asked: Resources) -> str:
    """Return the command of a site's own launcher for these resources.

    In the template, ``{procs}``, ``{nodes}`` and ``{per_node}`` stand for numbers. Without any of them, the number of
    procs is added: ``mpirun`` becomes ``mpirun -n 4``. If only nodes are requested, there is one proc on each.
    """
    procs = asked.procs or asked.nodes or "1"
    text = str(template)
    if "{" not in text:
        text += " -n {procs}"
    numbers = {"procs": procs, "nodes": asked.nodes or "1", "per_node": str(per_node(asked))}
    return re.sub(r"\{(procs|nodes|per_node)\}", lambda match: numbers[match[1]], text)


def per_node(asked: Resources) -> int:
    """Return the largest number of procs that run on a node. ValueError if a number can't be read."""
    procs, nodes = (whole_number(text or "1", what) for what, text in (("procs", asked.procs), ("nodes", asked.nodes)))
    return -(-procs // max(nodes, 1)) if asked.procs else 1


def launchers(text: str, bare: Resources, counts: Callable[[str], bool]) -> list[Resources]:
    """Return the resources that each launcher of a command requests. `bare` holds those of the step.

    A launcher counts only if `counts` returns True for the rest of its line. Launchers in comments don't count. If the
    shell starts a command in the background, all launchers may run at the same time, so `bare` is added. A ``&`` in
    quotes starts nothing. `fill_in` reports requests that can't be read.
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
    """Return the request in brackets. ValueError if it can't be read."""
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
    """Raise ValueError if a request, or all of them together, exceed the limit. An empty limit allows any number."""
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
    """Return a number that may have come from a placeholder. ValueError if the text is not a whole number."""
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise ValueError(f"{what} is {text!r}; a launcher needs a whole number")
    return int(text)
