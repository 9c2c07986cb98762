"""The state of a study: the protocol `Graph`, and `MemoryGraph`, which keeps the state in memory.

The reducer changes the state, and the rules read it. `maestro_es.store.projection.ProjectedGraph` keeps it in SQL
tables.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from maestro_es.core.events import StepTemplateAdded
from maestro_es.core.model import BAD_ENDS, IN_FLIGHT, RELEASED, Phase, StepRecord, StudyRecord


class Graph(Protocol):
    """The operations that the reducer and the rules use. After changing a record, the reducer calls `save`."""

    study: StudyRecord

    @property
    def records(self) -> Mapping[int | None, StepRecord]:
        """The records that `step` returns, by number. The reducer uses this mapping for its many look-ups."""

    def add(self, step: StepRecord) -> None:
        """Add a step."""

    def step(self, number: int) -> StepRecord:
        """Return the step with that number; KeyError if there is none."""

    def number_of(self, name: str) -> int | None:
        """Return the number of the step with that name."""

    def in_workspace(self, workspace: str) -> int | None:
        """Return the number of the step with that workspace. The first call reads all steps."""

    def instances(self, template: str) -> list[int]:
        """Return the numbers of the steps of a template, in ascending order."""

    def names(self) -> Iterator[tuple[int, str, str]]:
        """Yield the number, name and template of every step, ordered by number, without loading the records."""

    def save(self, step: StepRecord) -> None:
        """Note that a record was changed."""

    def connect(self, parent: int, child: int) -> None:
        """Add an edge, which must not exist yet, so that `child` waits for `parent`."""

    def disconnect(self, parent: int, child: int) -> None:
        """Remove an edge, so that `child` no longer waits for `parent`."""

    def parents(self, number: int) -> list[int]:
        """Return the numbers of the steps from which an edge leads to this step, in ascending order."""

    def children(self, number: int) -> list[int]:
        """Return the numbers of the steps to which an edge leads from this step, in the order of `connect`."""

    def blocked_children(self, parents: Sequence[int]) -> Iterator[StepRecord]:
        """Yield the blocked steps to which an edge leads from one of these parents.

        A step that waits for several of the parents may appear more than once.

        The caller may change a step before it takes the next one.
        """

    def blocked_by_funnel(self, template: str) -> Iterator[StepRecord]:
        """Yield the blocked steps that wait for all instances of a template.

        The caller may change a step before it takes the next one.
        """

    def blocked_in_vain(self) -> Iterator[list[tuple[StepRecord, int]]]:
        """Yield the blocked steps with a parent that ended badly, and the number of the first such parent.

        The steps are yielded in lists, ordered by number. The caller may change the steps of a list before taking the
        next list. The search for a list may read all blocked steps.
        """

    def failed_funnels(self) -> list[tuple[str, int]]:
        """For each template for which steps wait, return its first instance that ended badly, if there is one.

        This may read all instances.
        """

    def add_template(self, template: StepTemplateAdded) -> None:
        """Add a template."""

    def template(self, name: str) -> StepTemplateAdded:
        """Return a template; KeyError if there is none."""

    def has_template(self, name: str) -> bool:
        """Return whether there is a template with that name."""

    def unfinished(self, template: str) -> int:
        """Return how many instances of a template are not finished."""

    def unfinished_steps(self, template: str, limit: int) -> list[StepRecord]:
        """Return at most `limit` instances of a template that are not finished, by number. This is slow."""

    def count_unfinished(self, template: str, change: int) -> int:
        """Change the number of unfinished instances of a template, and return it."""

    def join_funnel(self, template: str, child: int) -> None:
        """Make `child` wait for all instances of `template`."""

    def funnel(self, template: str) -> list[int]:
        """Return the steps that wait for all instances of `template`."""

    def funnels(self, number: int) -> list[str]:
        """Return the templates on which the step has a funnel dependency (it waits for all their instances)."""

    def in_flight(self) -> Iterable[StepRecord]:
        """Return the steps with an attempt that may have a job, by number."""

    def ready(self, *, scheduled: bool, limit: int) -> Iterable[StepRecord]:
        """Return at most `limit` steps that may be submitted, by number.

        If the scheduler had no room for a step last time, the list begins after that step and wraps around. The limit
        that stopped this step may not apply to other steps. For example, it may be the limit of a partition.
        """

    def waiting(self) -> Iterator[StepRecord]:
        """Yield the steps that are blocked or ready, by number.

        The caller may change a step before it takes the next one.
        """

    def cancelling(self) -> Iterator[StepRecord]:
        """Yield the cancelled steps that are not done. The caller may change them as in `waiting`."""

    def held(self) -> Iterable[StepRecord]:
        """Return the steps that a user holds and that are not done, by number."""

    def doubted(self) -> Iterable[StepRecord]:
        """Return the doubted steps, by number."""

    def steps(self) -> Iterator[StepRecord]:
        """Return all steps by number."""

    def by_row(self) -> Iterator[StepRecord]:
        """Return all steps in the order of their rows, for a reader that holds a snapshot of the log."""


def may_be_submitted(step: StepRecord) -> bool:
    """Return whether a tick may submit a step, apart from the throttle."""
    return step.phase is Phase.READY and not step.held and not step.cancelling


def has_ended_badly(step: StepRecord) -> bool:
    """Return whether a step has ended without success, so that no step that depends on it can run."""
    return step.phase is Phase.DONE and step.state in BAD_ENDS


def waiting_for(graph: Graph, step: StepRecord, templates: set[str]) -> list[int]:
    """Return the steps that wait for this step, because of an edge or a funnel.

    If the template of the step is in `templates`, its funnels are left out. Otherwise the template is added to
    `templates`. So a walk over the graph follows the funnels of each template only once.
    """
    numbers = graph.children(step.number)
    if step.template in templates:
        return numbers
    templates.add(step.template)
    return [*numbers, *graph.funnel(step.template)]


class MemoryGraph:
    """The state in memory, for replay, for questions about the past, and for tests."""

    def __init__(self) -> None:
        self.study = StudyRecord()
        self.records: dict[int | None, StepRecord] = {}
        self._numbers: dict[str, int] = {}
        self._workspaces: dict[str, int] | None = None
        self._children: dict[int, int | list[int]] = {}  # an only child is stored without a list
        self._parents: defaultdict[int, list[int]] | None = None
        self._templates: dict[str, StepTemplateAdded] = {}
        self._unfinished: defaultdict[str, int] = defaultdict(int)
        self._funnel: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self._funnels: defaultdict[int, list[str]] = defaultdict(list)

    def add(self, step: StepRecord) -> None:
        self.records[step.number] = step
        self._numbers[step.name] = step.number
        if self._workspaces is not None:
            self._workspaces.setdefault(step.workspace, step.number)

    def step(self, number: int) -> StepRecord:
        return self.records[number]

    def number_of(self, name: str) -> int | None:
        return self._numbers.get(name)

    def in_workspace(self, workspace: str) -> int | None:
        if self._workspaces is None:
            self._workspaces = {step.workspace: step.number for step in reversed(self.records.values())}
        return self._workspaces.get(workspace)

    def instances(self, template: str) -> list[int]:
        return [step.number for step in self.records.values() if step.template == template]

    def names(self) -> Iterator[tuple[int, str, str]]:
        return ((step.number, step.name, step.template) for step in self.records.values())

    def save(self, step: StepRecord) -> None:
        """Nothing to do: the record is the state."""

    def connect(self, parent: int, child: int) -> None:
        before = self._children.setdefault(parent, child)
        if isinstance(before, list):
            before.append(child)
        elif before != child:
            self._children[parent] = [before, child]
        if self._parents is not None:
            self._parents[child].append(parent)

    def disconnect(self, parent: int, child: int) -> None:
        self._children[parent] = [other for other in self.children(parent) if other != child]
        if self._parents is not None:
            self._parents[child].remove(parent)

    def parents(self, number: int) -> list[int]:
        if self._parents is None:
            self._parents = defaultdict(list)
            for parent in self._children:
                for child in self.children(parent):
                    self._parents[child].append(parent)
        return sorted(self._parents.get(number, ()))

    def children(self, number: int) -> list[int]:
        children = self._children.get(number, ())
        return [children] if isinstance(children, int) else list(children)

    def blocked_children(self, parents: Sequence[int]) -> Iterator[StepRecord]:
        return self._blocked(sorted({child for parent in parents for child in self.children(parent)}))

    def blocked_by_funnel(self, template: str) -> Iterator[StepRecord]:
        return self._blocked(self.funnel(template))

    def blocked_in_vain(self) -> Iterator[list[tuple[StepRecord, int]]]:
        for step in self._blocked(range(1, len(self.records) + 1)):
            failed = (number for number in self.parents(step.number) if has_ended_badly(self.step(number)))
            first = next(failed, None)
            if first is not None:
                yield [(step, first)]

    def failed_funnels(self) -> list[tuple[str, int]]:
        firsts: dict[str, int] = {}
        for step in filter(has_ended_badly, self.records.values()):
            firsts.setdefault(step.template, step.number)
        return sorted((template, number) for template, number in firsts.items() if self._funnel.get(template))

    def _blocked(self, numbers: Iterable[int]) -> Iterator[StepRecord]:
        return (step for step in map(self.step, numbers) if step.phase is Phase.BLOCKED)

    def add_template(self, template: StepTemplateAdded) -> None:
        self._templates[template.name] = template

    def template(self, name: str) -> StepTemplateAdded:
        return self._templates[name]

    def has_template(self, name: str) -> bool:
        return name in self._templates

    def templates(self) -> Iterator[StepTemplateAdded]:
        """Return all templates in the order in which they were added."""
        return iter(self._templates.values())

    def unfinished(self, template: str) -> int:
        return self._unfinished[template]

    def unfinished_steps(self, template: str, limit: int) -> list[StepRecord]:
        unfinished = (r for r in self.records.values() if r.template == template and r.state not in RELEASED)
        return [step for _, step in zip(range(limit), unfinished, strict=False)]

    def count_unfinished(self, template: str, change: int) -> int:
        self._unfinished[template] += change
        return self._unfinished[template]

    def join_funnel(self, template: str, child: int) -> None:
        self._funnel[template][child] = None
        self._funnels[child].append(template)

    def funnel(self, template: str) -> list[int]:
        return sorted(self._funnel.get(template, ()))

    def funnels(self, number: int) -> list[str]:
        return sorted(self._funnels.get(number, ()))

    def in_flight(self) -> list[StepRecord]:
        return [step for step in self.records.values() if step.phase in IN_FLIGHT]

    def ready(self, *, scheduled: bool, limit: int) -> list[StepRecord]:
        first = self.study.refused if scheduled else 0
        records = list(self.records.values())
        around = itertools.chain(records[first:], records[:first])
        submittable = (r for r in around if may_be_submitted(r) and r.scheduled is scheduled)
        return list(itertools.islice(submittable, limit))

    def waiting(self) -> Iterator[StepRecord]:
        return (step for step in self.records.values() if step.phase in (Phase.BLOCKED, Phase.READY))

    def cancelling(self) -> Iterator[StepRecord]:
        return (step for step in self.records.values() if step.cancelling and step.phase is not Phase.DONE)

    def held(self) -> list[StepRecord]:
        return [step for step in self.records.values() if step.held and step.phase is not Phase.DONE]

    def doubted(self) -> list[StepRecord]:
        return [step for step in self.records.values() if step.doubted]

    def steps(self) -> Iterator[StepRecord]:
        return iter(self.records.values())

    def by_row(self) -> Iterator[StepRecord]:
        return iter(sorted(self.records.values(), key=lambda step: (step.row, step.number)))
