"""The common parts of all schedulers' scripts: directives, and options that users pass through.

A directive is one option of a job. The header of the script contains it in Maestro's form, and the submit command gets
it as arguments. Both come from the same list, so they can't differ. The adapter decides which directives a job has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from maestro_es.adapters.base import noting, stop_if

#: The comment between Maestro's directives and those that Maestro leaves out.
ADDED = "# added by maestro-es: options that Maestro leaves out"

#: Characters that no option may contain. A line break would start another line of the script.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: A text that every scheduler reads as one word without quotes.
_ONE_WORD = re.compile(r"[^\s\"'\\#]+")

_OPTION_NAME = re.compile(r"-{0,2}([A-Za-z0-9][A-Za-z0-9_-]*)")

_WORDS_FOR_YES = ("true", "yes", "on", "1")
_WORDS_FOR_NO = ("", "false", "no", "off", "0", "none")


class Directive(msgspec.Struct, frozen=True):
    """One option of a job. `value` is None for a flag. `quoted` and `gap` describe Maestro's form.

    `added` marks an option that Maestro does not write. ValueError if the value contains a control character.
    """

    option: str
    value: str | None = None
    quoted: bool = False
    gap: str = ""
    added: bool = False

    def __post_init__(self) -> None:
        if self.value is not None and _CONTROL.search(self.value):
            raise ValueError(f"{self.option} is {self.value!r}, and no option can hold a control character")

    @property
    def text(self) -> str:
        """The option as a script shows it, on one line."""
        if self.value is None:
            return self.option
        plain = not self.quoted and _ONE_WORD.fullmatch(self.value)
        return f"{self.option}{self.gap or self._gap}{self.value if plain else quote(self.value)}"

    @property
    def arguments(self) -> list[str]:
        """The option as arguments of a command."""
        if self.value is None:
            return [self.option]
        return [f"{self.option}={self.value}"] if self._gap == "=" else [self.option, self.value]

    @property
    def _gap(self) -> str:
        return "=" if self.option.startswith("--") else " "


def quote(text: str) -> str:
    r"""Return a string in double quotes for shells, Slurm and Flux. A ``\`` precedes each ``\`` and ``"``."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def option(name: str, value: object, *, quoted: bool = False, added: bool = False) -> list[Directive]:
    """Return a list with the directive of a value (empty: there is no value)."""
    return [Directive(name, str(value), quoted, added=added)] if value else []


def arguments(directives: Iterable[Directive]) -> list[str]:
    """Return directives as arguments of a submit command."""
    return [argument for directive in directives for argument in directive.arguments]


def shebang(shell: object) -> str:
    """Return the first line of a script. The default for `shell` is /bin/bash."""
    return f"#!{Directive('shell', str(shell or '/bin/bash')).value}"


def header(first: Sequence[str], sentinel: str, directives: Iterable[Directive]) -> str:
    """Return a header: the `first` lines, Maestro's directives and, after a comment, the added directives."""
    lines, added = list(first), list[str]()
    for directive in directives:
        (added if directive.added else lines).append(f"{sentinel} {directive.text}")
    return "\n".join([*lines, ADDED, *added] if added else lines)


def comment_of(description: str) -> str:
    """Return a description on one line, as Maestro does. Other control characters become spaces, too."""
    return _CONTROL.sub(" ", description)


def resources(batch: Mapping[str, Any], inherited: Iterable[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources that a step requests.

    They are its own keys with values, and inherited keys of the batch block.
    """
    asked = {key: batch[key] for key in inherited if batch.get(key)}
    return asked | {key: value for key, value in run.items() if value}


def exclusive(asked: object, part: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002 - a value, not a switch
    """Return whether a step requests exclusive nodes, for its "allocation" or its "launcher".

    As in Maestro, a scalar refers only to the allocation. A value from a placeholder is a string, so "False" means no.
    """
    if isinstance(asked, Mapping):
        asked = asked.get(part)
    elif part != "allocation":
        return default
    if asked is None:
        return default
    word = str(asked).strip().lower()
    if word not in (*_WORDS_FOR_YES, *_WORDS_FOR_NO):
        raise ValueError(f"exclusive is {asked!r}; write true or false")
    return word in _WORDS_FOR_YES


def passed_through(
    sources: Sequence[object], refused: Collection[str], *, single_dash: bool = False, beaten: Collection[str] = ()
) -> list[Directive]:
    """Return the options that users pass through with `args`, which are mappings of options to values.

    A flag has the value None.

    A later source overrides an earlier one. The last source is the `args` of the step. Options in `beaten` have the
    same meaning as other keys of the step, so only the step itself can pass them. Options in `refused` (without
    dashes) would change what runs, how often, or under which name. ValueError names all options that can't be passed.
    """
    chosen: dict[str, str | None] = {}
    wrong: list[str] = []
    for rank, source in enumerate(sources, 1 - len(sources)):
        for key, setting in pairs(source):
            with noting(wrong):
                name, value = _option_name(key), _option_value(key, setting)
                if name in refused or not (single_dash or is_free(name, refused)):
                    raise ValueError(f"args: {key} can't be passed through, because maestro-es controls this option")
                if not rank or (name not in beaten if single_dash else is_free(name, beaten)):
                    chosen[name] = value
    stop_if(wrong)
    dashes = {name: "-" if single_dash or len(name) == 1 else "--" for name in chosen}
    return [Directive(dashes[name] + name, value, added=True) for name, value in chosen.items()]


def names_beaten(said_by: Mapping[str, Collection[str]], run: Mapping[str, Any]) -> list[str]:
    """Return the options that have the same meaning as a key that the step sets."""
    return [name for key, names in said_by.items() if run.get(key) not in (None, "") for name in names]


def is_free(name: str, refused: Collection[str]) -> bool:
    """Return whether an option is neither `refused` nor an abbreviation.

    For getopt_long(3), ``--arr`` means ``--array``.
    """
    return name not in refused and (len(name) == 1 or not any(whole.startswith(name) for whole in refused))


def pairs(source: object) -> Iterable[tuple[object, object]]:
    """Return the items of a mapping of options, which may be empty or missing. ValueError if it is not a mapping."""
    if isinstance(source, Mapping):
        return source.items()
    if source:
        raise ValueError(f"the options {source!r} are not a mapping of options to values")
    return ()


def _option_value(key: object, value: object) -> str | None:
    match value:
        case None:
            return None
        case bool() | list() | dict():
            raise ValueError(f"args: {key} is {value!r}; write a string or a number, or null for a flag")
        case _:
            return str(value)


def _option_name(key: object) -> str:
    match = _OPTION_NAME.fullmatch(str(key))
    if not match:
        raise ValueError(f"args: {key!r} is not the name of an option")
    return match[1]


def embedded(text: str, directive: str, faults: Callable[[Sequence[str]], Iterable[str]] = lambda _: ()) -> list[str]:
    """Return the options on lines that begin with a directive, before the first command of a script.

    In Maestro, the submit command reads them from the script. maestro-es submits the runner, so it passes them as
    arguments. `faults` yields a message about each option of a line that can't be used, beginning with the option.
    ValueError names all of them, and all lines that can't be read.
    """
    result: list[str] = []
    wrong: list[str] = []
    for line in text.split("\n"):
        options = line.removeprefix(directive)
        if options != line and (directive.endswith(":") or options[:1].isspace()):
            try:
                import shlex  # noqa: PLC0415 - needed only for a script with such lines

                on_line = [*takewhile(lambda word: not word.startswith("#"), shlex.split(options))]
            except ValueError as error:
                wrong.append(f"{line}: {error}")
                continue
            result += on_line
            wrong += (f"{directive} {fault}" for fault in faults(on_line))
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    stop_if(wrong)
    return result


def refusals(options: Iterable[str], refused: Collection[str], *, single_dash: bool = False) -> Iterator[str]:
    """Yield a message about each option that is `refused`. A short option may be joined to its value."""
    for word in options:
        name = re.match("-+([^=]+)" if single_dash else r"(?:--([\w-]+)|-(\w))", word)
        if name and (name[1] in refused if single_dash else not is_free(name[1] or name[2], refused)):
            yield f"{word} can't be used there, because maestro-es controls this option"
