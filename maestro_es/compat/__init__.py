"""The counterparts of Maestro's classes for studies that are built in Python.

This package has the names of ``maestrowf.datastructures.core``, ``maestrowf.datastructures.environment`` and
``maestrowf.specification`` that a program needs to build, stage and run a study. ::

    import time
    from maestro_es.compat import ParameterGenerator, Study, StudyEnvironment, StudyStatus, StudyStep, Variable

    environment = StudyEnvironment()
    environment.add(Variable("OUTPUT_PATH", "./hello"))
    environment.add(Variable("GREETING", "hello"))
    parameters = ParameterGenerator()
    parameters.add_parameter("NAME", ["Pam", "Jim"], "NAME.%%")
    greet = StudyStep()
    greet.name = "greet"
    greet.description = "says hello"
    greet.run["cmd"] = "echo $(GREETING) $(NAME) > hello.txt"
    count = StudyStep()
    count.name = "count"
    count.description = "counts words"
    count.run["cmd"] = "cat $(greet.workspace)/*/hello.txt | wc -w > words.txt"
    count.run["depends"] = ["greet_*"]

    about = {"name": "hello", "description": "two greetings, counted"}
    study = Study("hello", about, environment, parameters, [greet, count], "./hello")
    study.setup_workspace()
    study.configure_study(throttle=2)
    study.setup_environment()
    path, graph = study.stage()
    graph.set_adapter({"type": "local"})
    while graph.execute_ready_steps() is StudyStatus.RUNNING:
        time.sleep(0.1)

There are two differences from Maestro. First, `stage` creates the study, with its log, its workspace and its copy of
the study file. A second `stage` of the same study into the same directory continues it. Second, the graph is an
`ExecutionGraph` of maestro-es. It can be opened again with ``ExecutionGraph.open(path)``, and ``maestro-es tick``
ticks it too.

``python -m maestro_es.compat PROGRAM`` runs an unchanged program that imports Maestro itself (see `hook`).

`maestro_es.compat.modules` lists the names and their counterparts. The classes have no rules of their own.
`maestro_es.study_file` reads and expands studies, and `maestro_es.execution_graph` runs them.
"""

from __future__ import annotations

from maestro_es.compat.abstracts import StepPriority, SubmissionCode
from maestro_es.compat.environment import GitDependency, PathDependency, StudyEnvironment
from maestro_es.compat.hook import install
from maestro_es.compat.specification import YAMLSpecification
from maestro_es.compat.study import Study
from maestro_es.compat.study_step import StudyStep
from maestro_es.core.model import CancelCode, JobStatusCode, State, StudyStatus
from maestro_es.execution_graph import ExecutionGraph
from maestro_es.execution_graph.dag import DAG
from maestro_es.study_file.parameters import Combination, ParameterGenerator
from maestro_es.study_file.study_environment import Script, Variable

__all__ = [
    "DAG", "CancelCode", "Combination", "ExecutionGraph", "GitDependency", "JobStatusCode", "ParameterGenerator",
    "PathDependency", "Script", "State", "StepPriority", "Study", "StudyEnvironment", "StudyStatus", "StudyStep",
    "SubmissionCode", "Variable", "YAMLSpecification", "install",
]  # fmt: skip
