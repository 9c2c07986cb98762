"""The part of the graph that creates a study from a plan, from Maestro's files, or from an export of a log.

`maestro_es.creation` does the work. Each method imports the modules that it needs, because these imports take long and
few programs and commands create a study.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_es.execution_graph.base import GraphBase
from maestro_es.study.invocation import Driver, Runtime

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

    from maestro_es.core.model import Settings
    from maestro_es.creation.exclusive_creation import Site
    from maestro_es.creation.import_log import ImportedLog
    from maestro_es.creation.import_maestro import Import
    from maestro_es.creation.recover import RecoveryPlan
    from maestro_es.store.log_export import ExportReader
    from maestro_es.study.surroundings import Surroundings
    from maestro_es.study_file.plan import StudyPlan


class CreatableGraph(GraphBase):
    """The part of `ExecutionGraph` that creates a study, or rebuilds its log."""

    @classmethod
    def from_plan(
        cls,
        plan: StudyPlan,
        settings: Settings,
        runtime: Runtime | None = None,
        site: Site | None = None,
        around: Surroundings | None = None,
    ) -> Self:
        """Create the study of a plan in the directory `plan.output`.

        `site` is this directory if it was reserved before.

        The steps run in the environment of this process, or in the part of it that `around` has chosen. RequestRefused
        if the directory has a study already. StudyError or OSError if the study can't be created. In that case,
        nothing of it is left.
        """
        from maestro_es.creation.create import create_study  # noqa: PLC0415 - for this only

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        return cls.open(create_study(plan, settings, runtime, site, around).root, runtime)

    @classmethod
    def take_over(cls, imported: Import, runtime: Runtime | None = None) -> Self:
        """Create the log of a Maestro study that `plan_import` has read.

        RequestRefused if a conductor has started on the study since, or if the study has a log. In these cases,
        nothing was changed.
        """
        from maestro_es.creation.import_maestro import carry_out  # noqa: PLC0415 - for this only

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        return cls.open(carry_out(imported, runtime).root, runtime)

    @staticmethod
    def import_log(
        export: ExportReader, path: str | os.PathLike[str], runtime: Runtime | None = None, *, repair: bool = False
    ) -> ImportedLog:
        """Create a study directory from an export of its log. With `repair`, undecodable events are corrected.

        DamagedLog if a line of the export was changed. RequestRefused if the directory is in use. After an error,
        nothing of the study is left.
        """
        from maestro_es.creation.import_log import import_log  # noqa: PLC0415 - for this only

        return import_log(export, Path(path), runtime or Runtime(driver=Driver.PROGRAM), repair=repair)

    @staticmethod
    def recover(
        export: ExportReader,
        path: str | os.PathLike[str],
        runtime: Runtime | None = None,
        reason: str = "",
        *,
        dry: bool = False,
    ) -> RecoveryPlan:
        """Rebuild the lost log of a study from an earlier export, and from the traces of its jobs.

        Returns the new state of each step and its evidence. With `dry`, nothing is changed. RequestRefused if the log
        is not lost.
        """
        from maestro_es.creation import recover as recovery  # noqa: PLC0415 - for this only
        from maestro_es.study.layout import StudyDir  # noqa: PLC0415 - likewise

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        if not dry:
            return recovery.recover(export, Path(path), runtime, reason)
        recovery.check_lost(Path(path))
        return recovery.plan_recovery(export, StudyDir(Path(path)).root, runtime)
