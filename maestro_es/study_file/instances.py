"""The instances of an expanded study. Each is computed on demand, because a study may have a million instances.

Only a few numbers are kept in memory for each instance. This module decides which combinations of parameters share an
instance. `expansion` decides which parameters a template uses.
"""

from __future__ import annotations

import bisect
import functools
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import msgspec

from maestro_es.core.events import StepAdded
from maestro_es.core.model import Param, is_scheduled
from maestro_es.core.step_keys import substitute
from maestro_es.study_file import render
from maestro_es.study_file.parameters import Parameters, strings_in
from maestro_es.study_file.templates import Template

#: The type code of arrays of instance numbers. Their items have at least 32 bits.
_NUMBER = "L"

#: The keys of a ``run`` block whose values are lines for a shell.
_LINES = ("cmd", "restart")

#: A placeholder inside another placeholder or inside a command. Its value may decide what the outer placeholder or the
#: command means.
_NESTED = re.compile(r"LAUNCHER|\$\([^)]*\$\(")


def numbers(size: int = 0) -> array[int]:
    """Return an array of zeros for numbers of instances. A list would take nine times as much memory."""
    return array(_NUMBER, bytes(array(_NUMBER).itemsize * size))


@dataclass(frozen=True)
class Grouping:
    """Groups of parameter combinations. The combinations of one group have equal labels for the parameters `keys`.

    `first` lists, for each group, the index of its first combination. `of` lists, for each combination, the number of
    its group (from 0). `collapsed` is the number of combinations that have the labels of an earlier combination, but
    other values. If `are_plain`, every label can be the name of a directory, unchanged. The labels have a common
    `prefix`, and are at most `longest` characters long. `largest` is the number of the group that has the longest
    labels and values in total.
    """

    keys: tuple[str, ...]
    first: Sequence[int]
    of: Sequence[int]
    collapsed: int
    are_plain: bool
    prefix: str
    longest: int
    largest: int


def group(parameters: Parameters, used: frozenset[str]) -> Grouping:
    """Group the combinations by their labels of the `used` parameters."""
    keys = tuple(sorted(used))
    labels = list(labels_of(parameters, keys))
    declared = [parameters.columns[key] for key in keys]
    first: Sequence[int] = range(len(labels))
    of: Sequence[int] = first
    collapsed = 0
    if len(set(labels)) < len(labels):
        groups: dict[str, int] = {}
        first, of = numbers(), numbers()
        for index, label in enumerate(labels):
            number = groups.setdefault(label, len(first))
            if number == len(first):
                first.append(index)
            of.append(number)
            collapsed += any(column[index] != column[first[number]] for column in declared)
    least, most = min(labels), max(labels)
    same = next((index for index, pair in enumerate(zip(least, most, strict=False)) if len({*pair}) > 1), None)
    return Grouping(
        keys,
        first,
        of,
        collapsed,
        are_plain=all(map(render.is_plain, labels)),
        prefix=least[:same],
        longest=max(map(len, labels)),
        largest=max(range(len(first)), key=lambda number: sum(_length(column[first[number]]) for column in declared)),
    )


def labels_of(parameters: Parameters, keys: Sequence[str]) -> Iterator[str]:
    """For each combination, yield the labels of these parameters as they appear in the names of instances."""
    columns = ([param.label for param in parameters.columns[key]] for key in keys)
    return map(".".join, zip(*columns, strict=True))


def _length(param: Param) -> int:
    return len(param.value) + len(param.label)


class Instances:
    """The instances of one template. `first` is the number of the first one, and the others follow.

    `parents` holds the instances of the template's parents. `sources` holds the instances of the steps whose
    workspaces the template names.
    """

    def __init__(  # noqa: PLR0913 - what instances depend on
        self,
        template: Template,
        parameters: Parameters,
        grouping: Grouping | None,
        first: int,
        parents: Sequence[Instances],
        sources: Mapping[str, Instances],
        *,
        hashed: bool,
        local: bool,
        restart_limit: int,
    ) -> None:
        self.template = template
        self.grouping = grouping
        self.first = first
        self.parents = parents
        self.used = frozenset(grouping.keys if grouping else ())
        self.parameters = parameters
        self._sources = sources
        self._hashed = hashed
        self._local = local
        self._restart_limit = restart_limit if template.run.get("restart") else 0
        self._columns = [parameters.columns[key] for key in parameters.keys if key in self.used]
        self._labels = [parameters.columns[key] for key in sorted(self.used)]
        self._directory = render.workspace(template.name)
        self._resources = {key: template.run.get(key) for key in ("nodes", "procs")}
        texts = [value for value in self._resources.values() if isinstance(value, str)]
        self._scheduled = None if parameters.used_in(texts) else not local and is_scheduled(self._resources)

    def __len__(self) -> int:
        return len(self.grouping.first) if self.grouping else 1

    def number(self, combo: int) -> int:
        """Return the number of the instance for a combination. `combo` is the index of the combination."""
        return self.first + (self.grouping.of[combo] if self.grouping else 0)

    def numbers(self) -> range:
        """Return the numbers of all instances."""
        return range(self.first, self.first + len(self))

    def combos(self) -> Sequence[int]:
        """Return the index of each instance's combination."""
        return self.grouping.first if self.grouping else (0,)

    def name(self, index: int) -> str:
        """Return the name of the instance with that index, from 0."""
        if self.grouping is None:
            return self.template.name
        return f"{self.template.name}_{self._label(self.grouping.first[index])}"

    def workspace(self, index: int) -> str:
        """Return the directory of an instance, relative to that of the study."""
        if self.grouping is None:
            return self._directory
        if self._hashed:
            return f"{self._directory}/{render.safe(render.nickname(self.template.name, index, len(self)))}"
        label = self._label(self.grouping.first[index])
        return f"{self._directory}/{label if self.grouping.are_plain else render.safe(label)}"

    def params(self, index: int) -> tuple[Param, ...]:
        """Return the parameters of an instance, in the order of their declaration."""
        if self.grouping is None:
            return ()
        combo = self.grouping.first[index]
        return tuple([column[combo] for column in self._columns])

    def scheduled(self, index: int) -> bool:
        """Return whether a scheduler runs an instance."""
        if self._scheduled is not None:
            return self._scheduled
        params = self.params(index)
        values = {
            key: substitute(value, params) if isinstance(value, str) else value
            for key, value in self._resources.items()
        }
        return not self._local and is_scheduled(values)

    def any_scheduled(self) -> bool:
        """Return whether a scheduler runs at least one instance."""
        return any(map(self.scheduled, range(len(self) if self._scheduled is None else 1)))

    def step(self, index: int, row: int = 0) -> StepAdded:
        """Return the event that adds an instance."""
        combo = self.grouping.first[index] if self.grouping else 0
        template = self.template
        return StepAdded(
            name=self.name(index),
            template=template.name,
            workspace=self.workspace(index),
            params=self.params(index),
            parents=tuple([parent.number(combo) for parent in self.parents]),
            funnels=template.funnels,
            workspaces={name: self._place(name, combo) for name in template.references},
            scheduled=self.scheduled(index),
            restart_limit=self._restart_limit,
            row=row,
        )

    def distinct(self, *values: object) -> Iterator[int]:
        """Yield the indexes of the instances that give `values` a new content.

        `values` are values of the template, in which an instance replaces the placeholders of its parameters. An
        instance is left out if an earlier instance gives them the same content.
        """
        columns = [self.parameters.columns[key] for key in self.parameters.used_in(strings_in([*values]))]
        seen: set[tuple[Param, ...]] = set()
        for index, combo in enumerate(self.combos() if columns else (0,)):
            params = tuple([column[combo] for column in columns])
            if params not in seen:
                seen.add(params)
                yield index

    def _label(self, combo: int) -> str:
        return ".".join([column[combo].label for column in self._labels])

    def _place(self, name: str, combo: int) -> str:
        """Return the directory for ``$(name.workspace)``.

        For a funnel it is the common directory of all its instances.
        """
        source = self._sources[name]
        if name in self.template.funnels:
            return source._directory  # noqa: SLF001 - an object of the same class
        return source.workspace(source.number(combo) - source.first)


def samples(instances: Instances) -> Iterable[int]:
    """Return the indexes of the instances of a template whose scripts must be checked before a study exists.

    All others can only have the same problems. A scheduler may refuse a resource, a walltime or a launcher. So for
    each combination of their values, one instance is checked. In the other lines of a script, a value does not matter
    if it is inert: not empty, and without characters that have a meaning for a shell, a launcher or a scheduler. If
    all values are inert, the first instance and the instance with the longest values are checked. Otherwise all
    instances are checked.
    """
    run = instances.template.run
    decisive = [value for key, value in run.items() if key not in _LINES]
    decisive += [run.get(key) for key in _LINES if _NESTED.search(str(run.get(key)))]
    parameters = instances.parameters
    if not parameters.inert.issuperset(instances.used - parameters.used_in(strings_in(decisive))):
        return range(len(instances))
    return {
        **dict.fromkeys(instances.distinct(*decisive)),
        instances.grouping.largest if instances.grouping else 0: None,
    }


@dataclass
class Expansion:
    """The instances of all templates, in the order of their numbers. The numbers start at 1 and follow launch order.

    `renamed` holds the numbers and names of instances whose names were not unique. Such a study is refused.
    """

    templates: dict[str, Instances] = field(default_factory=dict)
    renamed: dict[int, str] = field(default_factory=dict)
    size: int = 0

    @property
    def steps(self) -> Steps:
        """The events that add the instances. The event at index 0 adds instance 1."""
        return Steps(self)

    def add(self, instances: Instances) -> None:
        """Add the instances of the next template."""
        self.templates[instances.template.name] = instances
        self.size += len(instances)

    def template_of(self, number: int) -> str:
        """Return the template of an instance."""
        return self._names[bisect.bisect(self._firsts, number) - 1]

    def name(self, number: int) -> str:
        """Return the name of an instance."""
        instances = self.templates[self.template_of(number)]
        return self.renamed.get(number) or instances.name(number - instances.first)

    def steps_of(self, template: str, rows: Sequence[int] = ()) -> Iterator[tuple[int, StepAdded]]:
        """For each instance of a template, yield its number and the event that adds it.

        `rows` lists, for each number, the line of the instance in ``status.csv``. If it is given, the event gets that
        line.
        """
        instances = self.templates[template]
        for index, number in enumerate(instances.numbers()):
            step = instances.step(index, rows[number - 1] if rows else 0)
            if number in self.renamed:
                step = msgspec.structs.replace(step, name=self.renamed[number])
            yield number, step

    @functools.cached_property
    def _names(self) -> list[str]:
        return list(self.templates)

    @functools.cached_property
    def _firsts(self) -> list[int]:
        return [instances.first for instances in self.templates.values()]


class Steps(Sequence[StepAdded]):
    """The events that add the instances of an expansion. They are made one by one."""

    def __init__(self, expansion: Expansion) -> None:
        self._expansion = expansion

    def __len__(self) -> int:
        return self._expansion.size

    def __iter__(self) -> Iterator[StepAdded]:
        for template in self._expansion.templates:
            yield from (step for _, step in self._expansion.steps_of(template))

    @overload
    def __getitem__(self, index: int) -> StepAdded: ...
    @overload
    def __getitem__(self, index: slice) -> list[StepAdded]: ...
    def __getitem__(self, index: int | slice) -> StepAdded | list[StepAdded]:
        return list(self)[index]
