"""The part of the graph that creates a study from something else than a program's calls.

What a method needs is imported in it: few programs and commands create a study, and that takes long to import.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_es.core.model import Driver
from maestro_es.execution_graph.base import GraphBase
from maestro_es.study.invocation import Runtime

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
    """The part of `ExecutionGraph` that creates a study, or its log again."""

    @classmethod
    def from_plan(
        cls,
        plan: StudyPlan,
        settings: Settings,
        runtime: Runtime | None = None,
        site: Site | None = None,
        around: Surroundings | None = None,
    ) -> Self:
        """Create the study of a plan, in the directory `plan.output`, which `site` may reserve already.

        Its steps run in the environment of this process, or in what `around` has chosen of it. RequestRefused if there
        is a study; StudyError and OSError if it can't be created, and nothing is left of it then.
        """
        from maestro_es.creation.create import create_study  # noqa: PLC0415 - for this only

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        return cls.open(create_study(plan, settings, runtime, site, around).root, runtime)

    @classmethod
    def take_over(cls, imported: Import, runtime: Runtime | None = None) -> Self:
        """Create the log of a Maestro study that `plan_import` has read.

        RequestRefused if a conductor works on it by now, or it has a log; nothing was changed then.
        """
        from maestro_es.creation.import_maestro import carry_out  # noqa: PLC0415 - for this only

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        return cls.open(carry_out(imported, runtime).root, runtime)

    @staticmethod
    def import_log(
        export: ExportReader, path: str | os.PathLike[str], runtime: Runtime | None = None, *, repair: bool = False
    ) -> ImportedLog:
        """Create a study directory from an export of its log; with `repair`, undecodable events are corrected.

        DamagedLog if a line was changed, RequestRefused if the directory is in use; nothing is left of it then.
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
        """Rebuild the lost log of a study from an earlier export, and from what its jobs have left behind.

        Returns what each step becomes, and how that is known; with `dry`, nothing is changed. RequestRefused if the
        log is not lost.
        """
        from maestro_es.creation import recover as recovery  # noqa: PLC0415 - for this only
        from maestro_es.study.layout import StudyDir  # noqa: PLC0415 - likewise

        runtime = runtime or Runtime(driver=Driver.PROGRAM)
        if not dry:
            return recovery.recover(export, Path(path), runtime, reason)
        recovery.check_lost(Path(path))
        return recovery.plan_recovery(export, StudyDir(Path(path)).root, runtime)
