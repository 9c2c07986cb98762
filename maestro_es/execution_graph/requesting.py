"""What users ask of steps: retry, skip, hold, release, reopen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maestro_es.core import arguments, requests, rerun
from maestro_es.core import events as e
from maestro_es.core.events import NewEvent
from maestro_es.execution_graph.base import GraphBase
from maestro_es.store.projection import ProjectedGraph

#: The limits that `retry` takes, by the names of the options that `update` has for them.
_OPTIONS = {"restart_limit": "rlimit", "hardware_limit": "hardware-limit"}


class RequestableGraph(GraphBase):
    """The part of `ExecutionGraph` that takes requests about steps."""

    def retry(
        self,
        *steps: str,
        failed: bool = False,
        descendants: bool = False,
        from_scratch: bool = False,
        keep_script: bool = False,
        restart_limit: int | None = None,
        hardware_limit: int | None = None,
        reason: str = "",
    ) -> list[str]:
        """Let steps run again, by names or patterns, and return the names of all that will; a tick submits them.

        A pattern takes steps that have failed or were cancelled, with `failed` only the former; a step that has
        finished is to be named in full. `failed` alone: all that have failed. What ended because of a step goes with
        it; with `descendants`, all that waits for it. The limits are those of the whole study. A study that has ended
        goes on. A step that had begun goes on with its restart script, if it has one and is not to begin
        `from_scratch`. With `keep_script` a script that was edited in its workspace runs as it stands. RequestRefused
        says what stands against it, and nothing was changed.
        """
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        only, all_after = arguments.flag("failed", failed), arguments.flag("descendants", descendants)
        scratch, kept = arguments.flag("from_scratch", from_scratch), arguments.flag("keep_script", keep_script)
        given = {"restart_limit": restart_limit, "hardware_limit": hardware_limit}
        limits = {
            _OPTIONS[argument]: arguments.count(argument, value)
            for argument, value in given.items()
            if value is not None
        }
        return self._names_of(
            e.StepReset,
            lambda graph: rerun.retry(
                graph,
                patterns,
                failed=only,
                descendants=all_after,
                how=rerun.How(from_scratch=scratch, keep_script=kept),
                limits=limits,
                reason=why,
            ),
        )

    def retry_doubted(self, *steps: str, reason: str = "") -> list[str]:
        """Let the steps run again whose output a reboot has put in doubt, and all that waits for them.

        `steps` are names or patterns of such; without them, all are meant. Returns the names of all that will run.
        RequestRefused if there are none.
        """
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._names_of(e.StepReset, lambda graph: rerun.retry_doubted(graph, patterns, why))

    def skip(self, *steps: str, reason: str = "") -> list[str]:
        """Take steps as finished that have failed, were cancelled or have not run; returns their names.

        What waits for them may run; what ended because of them waits again. RequestRefused for steps in flight.
        """
        actor = self._study.log.identity.actor
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._names_of(e.StepSkipped, lambda graph: rerun.skip(graph, patterns, actor, why))

    def hold(self, *steps: str, reason: str = "") -> list[str]:
        """Don't submit steps until they are released; jobs in flight go on. Returns their names."""
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._names_of(e.StepHeld, lambda graph: requests.hold(graph, patterns, why))

    def release(self, *steps: str, reason: str = "") -> list[str]:
        """Let held steps be submitted again; returns their names."""
        patterns, why = _patterns(steps), arguments.text("reason", reason)
        return self._names_of(e.StepReleased, lambda graph: requests.release(graph, patterns, why))

    def reopen(self, reason: str = "", *, from_scratch: bool = False) -> list[str]:
        """Let a cancelled study go on; returns the names of the steps that were cancelled and run after all.

        They go on with their restart scripts, as by `retry`.
        """
        why, scratch = arguments.text("reason", reason), arguments.flag("from_scratch", from_scratch)
        return self._names_of(e.StepReset, lambda graph: rerun.reopen(graph, why, rerun.How(from_scratch=scratch)))

    def _names_of(self, kind: type[e.Event], rule: Callable[[ProjectedGraph], list[NewEvent]]) -> list[str]:
        """Make a request and return the names of the steps that it has made an event of that kind for."""
        new_events = self._request(rule)
        numbers = sorted(number for number, event in new_events if number and isinstance(event, kind))
        return [self._study.graph.step(number).name for number in numbers]


def _patterns(steps: Sequence[object]) -> list[str]:
    return [arguments.name("steps", step) for step in steps]
