"""The part of the graph that takes requests of users. Each method corresponds to a command or to one of its options.

`maestro_es.core.requests` and `maestro_es.core.rerun` decide what a request changes, and when it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from maestro_es.adapters.base import RunsInside
from maestro_es.audit.attempts import unsupervised
from maestro_es.core import arguments, requests, rerun
from maestro_es.core.events import NotificationEnded, Recorded
from maestro_es.core.model import StepRecord
from maestro_es.execution_graph.auditing import AuditableGraph
from maestro_es.execution_graph.base import patterns_of
from maestro_es.study import sharing

if TYPE_CHECKING:
    from maestro_es.core.exported_variables import ExportChoice

#: The options of ``update``, by the settings they change.
_OPTIONS = {setting: option for option, setting in arguments.UPDATABLE.items()}


class RequestableGraph(AuditableGraph):
    """The part of `ExecutionGraph` that takes requests about steps, settings and the environment.

    Each method returns the events that it has recorded, oldest first, in the form that `history` returns. If it is the
    first request of a process, the list begins with InvocationStarted. The list is empty if the request changes
    nothing. Inside a `batch`, the events are in the log only after the end of the batch.

    `steps` are names, or patterns of names as in a shell. The name of a step in the study file stands for all
    instances of this step. The log keeps the `reason`. RequestRefused if the request makes no sense in the present
    state. Its message gives the reason. NotOurs if another user can change the study. After either error, nothing was
    changed.
    """

    def pause(self, reason: str = "") -> list[Recorded]:
        """Submit nothing until `resume`. Jobs in flight continue. Returns the new events.

        RequestRefused if the study is paused already.
        """
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.pause(graph, why))

    def resume(self, reason: str = "") -> list[Recorded]:
        """Continue a paused study. Returns the new events. RequestRefused if it is not paused."""
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.resume(graph, why))

    def hold(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Submit these steps only after they are released. Jobs in flight continue. Returns the new events."""
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: requests.hold(graph, patterns, why))

    def release(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Release held steps, so that they can be submitted. Returns the new events."""
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: requests.release(graph, patterns, why))

    def skip(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Mark steps as finished, although they have failed, were cancelled or have not run. Returns the new events.

        Steps that depend on a skipped step can run. A step that ended because of a skipped step waits to run again.
        RequestRefused for steps in flight.
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
        """Run steps again. The new events include a StepReset for each of them. The next ticks submit them.

        A pattern selects steps that have failed or were cancelled. `failed` leaves out the cancelled steps, and
        selects all failed steps if there are no patterns. A finished step is selected only by its full name. Steps
        that ended because of a selected step run again too. With `descendants`, all steps that depend on it run again
        as well.

        The limits apply to the whole study. `restart_limit` is how many times a step is restarted after a timeout, and
        `hardware_limit` how many times it is resubmitted after a hardware failure (0: no limit). A study that has
        ended continues. If a step had started and has a restart script, it resumes with this script, unless
        `from_scratch` is true. With `keep_script`, a script that a user has edited in the workspace runs unchanged.
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
        """Run the doubted steps again, and all steps that depend on them.

        After a reboot, the output of a doubted step may be incomplete. `steps` are names or patterns (default: all
        doubted steps). Returns the new events. RequestRefused if there is no doubted step.
        """
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        return self._ask(lambda graph: rerun.retry_doubted(graph, patterns, why))

    def retry_lost(self, *steps: str, reason: str = "") -> list[Recorded]:
        """Run steps again whose host or container is gone for good. Returns the new events.

        The caller must be sure that the host or container is gone. Otherwise a step that is still running there would
        run twice at the same time. RequestRefused for a step that this host can see, and for a job that its scheduler
        watches.
        """
        patterns, why = patterns_of(steps), arguments.text("reason", reason)
        actor, at, study = self._study.log.identity.actor, self.runtime.now(), self._study

        def is_watched(step: StepRecord) -> bool:
            if not step.scheduled:
                seen = study.ask_host(step)
                return seen is not None and not seen.may_reappear
            scheduler = study.adapters.scheduler
            is_unknown = isinstance(scheduler, RunsInside) and scheduler.is_unknown(step)
            return not is_unknown and not unsupervised(study.log.events_of(step.number))

        return self._ask(lambda graph: rerun.give_up(graph, patterns, is_watched, actor, at, why))

    def reopen(self, reason: str = "", *, from_scratch: bool = False) -> list[Recorded]:
        """Continue a cancelled study. Its cancelled steps run. The new events include a StepReset for each of them.

        If a step had started and has a restart script, it resumes with this script, as after `retry`.
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
        array: str | None = None,
        reason: str = "",
    ) -> list[Recorded]:
        """Change settings from the next tick on. Returns the new events: a SettingsChanged for each new value.

        `submission_throttle` is how many jobs may be in flight. `restart_limit` is how many times a step is restarted
        after a timeout, and `hardware_limit` how many times it is resubmitted after a hardware failure. 0 means no
        limit. `sleep_seconds` is the time between the ticks of `run_until_ended`. `array` says whether steps with
        equal keys are submitted as a job array: ``auto`` (if there are many), ``always`` or ``never``.
        """
        values: dict[str, int | str] = {
            **_settings(
                submission_throttle=submission_throttle,
                restart_limit=restart_limit,
                hardware_limit=hardware_limit,
                sleep_seconds=sleep_seconds,
            )
        }
        if array is not None:
            values["array"] = arguments.assumed("array", "array", array)
        why = arguments.text("reason", reason)
        return self._ask(lambda graph: requests.update(graph, values, why))

    def notify(self, target: str, reason: str = "") -> list[Recorded]:
        """Send notifications from the next tick on: to a command or a mail address (empty: send none).

        There is one notification when a step fails for the first time in the study, one if nothing can continue, and
        one when the study ends. Returns the new events.
        """
        chosen, why = arguments.text("target", target), arguments.text("reason", reason)
        return self._ask(lambda graph: requests.notify(graph, chosen, why))

    def end_notification(self, request: int, problem: str = "") -> list[Recorded]:
        """Record whether the notification that the event `request` has requested was sent. `problem` says why not.

        Returns the new events.
        """
        number, why = arguments.count("request", request), arguments.text("problem", problem)
        return self._ask(lambda _: [(None, NotificationEnded(request=number, problem=why))])

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
        """Change the environment of the steps that are submitted from now on.

        It sets the variables in `values`, sets those in `names` to their values in this process, and removes those in
        `unset`. With `refresh`, it records the environment of this process instead. Then `export` chooses the
        variables (default: the present choice). If variables are left out that may matter, lines about them are added
        to the `remarks` of this object. Returns the new events: an EnvironmentRecorded if the environment changes.
        TypeError if a name or a value is not a string.
        """
        from maestro_es.study import environment_changes  # noqa: PLC0415 - for this only

        new_values, why = dict(values or {}), arguments.text("reason", reason)
        copied, removed = [*names], [*unset]
        for name in (*new_values, *new_values.values(), *copied, *removed):
            if not isinstance(name, str):
                raise TypeError(f"names and values of variables must be strings, not {type(name).__name__}")
        self._study.log.check_place()
        self._study.dir.check_owner()
        with self._study.log.listening() as recorded:
            if arguments.flag("refresh", refresh):
                _, warnings = environment_changes.refresh(self._study, export, why)
                self._study.remarks += warnings
            else:
                environment_changes.change(self._study, new_values, copied, removed, why)
        return recorded

    def share(self, *, group_reads: bool) -> bool:
        """Let the Unix group that owns the study's files read the log, or forbid this.

        Returns whether this has changed anything. It changes the modes of files and records no event.
        """
        self._study.log.check_place()
        self._study.dir.check_owner()
        return sharing.let_group_read(self._study.dir, allowed=arguments.flag("group_reads", group_reads))


def _settings(**values: int | None) -> dict[str, int]:
    """Return the settings that are not None, by the names of their options."""
    return {_OPTIONS[name]: arguments.count(name, value) for name, value in values.items() if value is not None}
