"""The modules of Maestro 1.2.1 and their names, and where each name has its counterpart here."""

from __future__ import annotations

_COMPAT = "maestro_es.compat"

#: Where the counterparts are: our module, and the names that Maestro has for what is in it.
_HOMES: dict[str, tuple[str, ...]] = {
    "maestro_es.core.model": ("SOURCE", "CancelCode", "JobStatusCode", "State", "StudyStatus"),
    "maestro_es.execution_graph": ("ExecutionGraph",),
    "maestro_es.study_file.parameters": ("Combination", "ParameterGenerator"),
    "maestro_es.study_file.study_environment": (
        "Dependency", "EnvObject", "Script", "Source", "Substitution", "Variable",
    ),
    "maestro_es.study_file.pgen_tools": (
        "apply_function", "create_dictionary", "create_parentdir", "csvtable_to_dict", "generate_filename",
        "get_duration", "make_safe_path", "round_datetime_seconds",
    ),
    f"{_COMPAT}.dag": ("DAG", "Graph"),
    f"{_COMPAT}.enums": ("StepPriority", "SubmissionCode"),
    f"{_COMPAT}.environment": ("GitDependency", "PathDependency", "StudyEnvironment"),
    f"{_COMPAT}.pickles": ("PickleInterface",),
    f"{_COMPAT}.specification": ("Specification", "YAMLSpecification"),
    f"{_COMPAT}.study": ("Study",),
    f"{_COMPAT}.study_step": ("StudyStep",),
}  # fmt: skip

#: Our module, for each of Maestro's names.
HOME_OF: dict[str, str] = {name: home for home, names in _HOMES.items() for name in names}

_CORE = ("Combination", "ExecutionGraph", "ParameterGenerator", "Study", "StudyEnvironment", "StudyStep")
_ENVIRONMENT = ("GitDependency", "PathDependency", "Script", "Variable")

#: The public modules of Maestro, and the names in each of them that have a counterpart.
MODULES: dict[str, tuple[str, ...]] = {
    "": (),
    "abstracts": ("Dependency", "Graph", "PickleInterface", "Source", "Specification", "Substitution"),
    "abstracts.abstractclassmethod": (),
    "abstracts.containers": (),
    "abstracts.enums": ("CancelCode", "JobStatusCode", "State", "StepPriority", "StudyStatus", "SubmissionCode"),
    "abstracts.envobject": ("Dependency", "EnvObject", "Source", "Substitution"),
    "abstracts.graph": ("Graph",),
    "abstracts.interfaces": (),
    "abstracts.interfaces.flux": (),
    "abstracts.interfaces.schedulerscriptadapter": (),
    "abstracts.interfaces.scriptadapter": (),
    "abstracts.specification": ("Specification",),
    "conductor": (),
    "datastructures": ("DAG",),
    "datastructures.core": _CORE,
    "datastructures.core.executiongraph": ("SOURCE", "ExecutionGraph"),
    "datastructures.core.parameters": ("Combination", "ParameterGenerator"),
    "datastructures.core.study": ("SOURCE", "Study", "StudyStep"),
    "datastructures.core.studyenvironment": ("StudyEnvironment",),
    "datastructures.dag": ("DAG",),
    "datastructures.environment": _ENVIRONMENT,
    "datastructures.environment.gitdependency": ("GitDependency",),
    "datastructures.environment.pathdependency": ("PathDependency",),
    "datastructures.environment.script": ("Script",),
    "datastructures.environment.variable": ("Variable",),
    "interfaces": (),
    "interfaces.script": (),
    "interfaces.script.fluxscriptadapter": (),
    "interfaces.script.localscriptadapter": (),
    "interfaces.script.lsfscriptadapter": (),
    "interfaces.script.slurmscriptadapter": (),
    "maestro": (),
    "specification": ("YAMLSpecification",),
    "specification.yamlspecification": ("YAMLSpecification",),
    "utils": (
        "apply_function", "create_dictionary", "create_parentdir", "csvtable_to_dict", "generate_filename",
        "get_duration", "make_safe_path", "round_datetime_seconds",
    ),
}  # fmt: skip
