"""The part of the graph that takes requests of users: each method is one command, and one kind of change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from maestro_es.core import arguments, requests, rerun
from maestro_es.core.events import Recorded
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.execution_graph.base import patterns_of
from maestro_es.study import sharing

if TYPE_CHECKING:
    from maestro_es.core.exported_variables import ExportChoice

#: The options of ``update``, by the settings that they change.
_OPTIONS = {setting: option for option, setting in arguments.UPDATABLE.items()}


class RequestableGraph(AuditableGraph):
    """The part of `ExecutionGraph` that takes requests about steps, settings and the environment.

    Each method returns the events that it has recorded, oldest first and as `history` returns them. Before the first
    event of a process is its InvocationStarted. The list is empty if all was so before. Inside a `batch` the events
    are in the log once the batch ends.

    `steps` are names, or patterns of names as in a shell; a name of the study file means all its instances. `reason`
    is kept in the log. RequestRefused says why a request makes no sense in the present state, NotOurs that another
    user can change the study; nothing was changed then.
    """

    def pause(self, reason: str = "") -> list[Recorded]:
        """Submit nothing new until `resume`; jobs in flight go on. Returns the new events.

        RequestRefused if the study is paused.
        """
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.pause(graph, why))

    def resume(self, reason: str = "") -> list[Recorded]:
        """Let a paused study go on. Returns the new events. RequestRefused if it is not paused."""
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.resume(graph, why))

    def hold(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Don't submit steps until they are released; jobs in flight go on."""
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: requests.hold(graph, patterns, why))

    def release(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Let held steps be submitted again."""
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: requests.release(graph, patterns, why))

    def skip(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Take steps as finished that have failed, were cancelled or have not run.

        What waits for them may run; what ended because of them waits again. RequestRefused for steps in flight.
        """
        actor = self._study.log.identity.actor
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: rerun.skip(graph, patterns, actor, why))

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
    ) -> list[Recorded]:
        """Let steps run again; a StepReset for each of them is among the events, and a tick submits them.

        A pattern takes steps that have failed or were cancelled, with `failed` only the former; a step that has
        finished must be named in full. `failed` alone: all that have failed. What ended because of a step goes with
        it; with `descendants`, all that waits for it. The limits are those of the whole study: how often a step is
        restarted after a timeout, and after a hardware failure (0: no limit). A study that has ended goes on. A step
        that had begun continues with its restart script, if it has one and shall not begin `from_scratch`. With
        `keep_script` a script that was edited in its workspace runs as it stands.
        """
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        only, all_after = arguments.flag("failed", failed), arguments.flag("descendants", descendants)
        scratch, kept = arguments.flag("from_scratch", from_scratch), arguments.flag("keep_script", keep_script)
        limits = _settings(restart_limit=restart_limit, hardware_limit=hardware_limit)
        how = rerun.How(from_scratch=scratch, keep_script=kept)
        return self._ask(
            lambda graph: rerun.retry(
                graph, patterns, failed=only, descendants=all_after, how=how, limits=limits, reason=why
            )
        )

    def retry_doubted(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Let the steps run again whose output a reboot has put in doubt, and all that waits for them.

        `steps` are names or patterns of such; without them, all are meant. RequestRefused if there are none.
        """
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: rerun.retry_doubted(graph, patterns, why))

    def retry_lost(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Let steps run again here whose host or container is gone for good; if one still runs there, it runs twice.

        The caller is believed about other hosts only. RequestRefused for a step about which this host can tell.
        """
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        actor, at, ask_host = self._study.log.identity.actor, self.runtime.now(), self._study.ask_host
        return self._ask(
            lambda graph: rerun.give_up(graph, patterns, lambda step: bool(ask_host(step)), actor, at, why)
        )

    def reopen(self, reason: str = "", *, from_scratch: bool = False) -> list[Recorded]:
        """Let a cancelled study go on: the steps that were cancelled run after all, with a StepReset for each.

        They continue with their restart scripts, as by `retry`.
        """
        why, scratch = arguments.text("reason", reason), arguments.flag("from_scratch", from_scratch)
        return self._ask(lambda graph: rerun.reopen(graph, why, rerun.How(from_scratch=scratch)))

    def update(
        self,
        *,
        submission_throttle: int | None = None,
        restart_limit: int | None = None,
        hardware_limit: int | None = None,
        sleep_seconds: int | None = None,
        reason: str = "",
    ) -> list[Recorded]:
        """Change settings from the next tick on; a SettingsChanged for each that had another value before.

        `submission_throttle` is how many jobs may be in flight, the limits are how often a step is restarted after a
        timeout and after a hardware failure (0: no limit); `sleep_seconds` is the time between the ticks of
        `run_until_ended`.
        """
        values = _settings(
            submission_throttle=submission_throttle,
            restart_limit=restart_limit,
            hardware_limit=hardware_limit,
            sleep_seconds=sleep_seconds,
        )
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.update(graph, values, why))

    def env(
        self,
        values: Mapping[str, str] | None = None,
        *,
        names: Iterable[str] = (),
        unset: Iterable[str] = (),
        refresh: bool = False,
        export: ExportChoice | None = None,
        reason: str = "",
    ) -> list[Recorded]:
        """Change the environment of the steps that are submitted from now on: an EnvironmentRecorded if it changes.

        Sets the variables in `values`, and those in `names` to their values in this process; removes those in
        `unset`. With `refresh` it records the environment of this process instead, by the same choice of variables as
        before or by `export`; `remarks` then has a line about each variable that is left out. TypeError if a name or
        a value is not a text.
        """
        from maestro_es.study import environment_changes  # noqa: PLC0415 - for this only

        new_values, why = dict(values or {}), arguments.text("reason", reason)
        copied, removed = [*names], [*unset]
        for name in (*new_values, *new_values.values(), *copied, *removed):
            if not isinstance(name, str):
                raise TypeError(f"names and values of variables must be texts, not {type(name).__name__}")
        self._study.dir.check_owner()
        with self._study.log.listening() as recorded:
            if arguments.flag("refresh", refresh):
                _, warnings = environment_changes.refresh(self._study, export, why)
                self._study.remarks += warnings
            else:
                environment_changes.change(self._study, new_values, copied, removed, why)
        return recorded

    def share(self, *, group_reads: bool) -> bool:
        """Let the group of the study's files read the log, or stop that; returns whether that has changed anything.

        It is a matter of the files' modes, and makes no event.
        """
        self._study.dir.check_owner()
        return sharing.let_group_read(self._study.dir, allowed=arguments.flag("group_reads", group_reads))


def _settings(**values: int | None) -> dict[str, int]:
    """Return the settings that are given, by the names of their options."""
    return {_OPTIONS[name]: arguments.count(name, value) for name, value in values.items() if value is not None}
