"""Lists the modules of Maestro 1.2.1 with their names, and the module that has the counterpart of each name."""

from __future__ import annotations

_COMPAT = "maestro_es.compat"

#: The names of Maestro that each module of maestro-es defines.
_HOMES: dict[str, tuple[str, ...]] = {
    "maestro_es.core.model": ("SOURCE", "CancelCode", "JobStatusCode", "State", "StudyStatus"),
    "maestro_es.execution_graph": ("ExecutionGraph",),
    "maestro_es.execution_graph.dag": ("DAG",),
    "maestro_es.study_file.parameters": ("Combination", "ParameterGenerator"),
    "maestro_es.study_file.study_environment": (
        "Dependency", "EnvObject", "Script", "Source", "Substitution", "Variable",
    ),
    "maestro_es.study_file.pgen_tools": (
        "apply_function", "create_dictionary", "create_parentdir", "csvtable_to_dict", "generate_filename",
        "get_duration", "make_safe_path", "round_datetime_seconds",
    ),
    f"{_COMPAT}.commands": (
        "cancel_study", "expand_update_args", "main", "run_study", "setup_argparser", "status_study",
        "update_study_exec", "validate_update_args",
    ),
    f"{_COMPAT}.conductor": ("Conductor",),
    f"{_COMPAT}.abstracts": (
        "Graph", "Record", "Singleton", "StepPriority", "SubmissionCode", "abstractclassmethod",
    ),
    f"{_COMPAT}.environment": ("GitDependency", "PathDependency", "StudyEnvironment"),
    f"{_COMPAT}.pickles": ("PickleInterface",),
    f"{_COMPAT}.script_adapter": ("SchedulerScriptAdapter", "ScriptAdapter"),
    f"{_COMPAT}.script_adapters": (
        "FluxScriptAdapter", "LSFScriptAdapter", "LocalScriptAdapter", "ScriptAdapterFactory", "SlurmScriptAdapter",
    ),
    f"{_COMPAT}.specification": ("Specification", "YAMLSpecification"),
    f"{_COMPAT}.status": (
        "BaseStatusRenderer", "FlatStatusRenderer", "LegacyStatusRenderer", "NarrowStatusRenderer",
        "StatusRendererFactory", "status_renderer_factory",
    ),
    f"{_COMPAT}.step_record": ("_StepRecord",),
    f"{_COMPAT}.study": ("Study",),
    f"{_COMPAT}.study_step": ("StudyStep",),
    f"{_COMPAT}.submission": ("CancellationRecord", "SubmissionRecord"),
    f"{_COMPAT}.tools": (
        "LoggerUtility", "coerce_dict_values", "dict_to_dot_strings", "iter_dotpath_items", "load_parameter_generator",
        "parse_version", "ping_url", "start_process", "unflatten_dotpath_dict", "unflatten_dotpath_tuples",
        "update_recursive",
    ),
}  # fmt: skip

#: The module with the counterpart, for each of Maestro's names.
HOME_OF: dict[str, str] = {name: home for home, names in _HOMES.items() for name in names}

_CORE = ("Combination", "ExecutionGraph", "ParameterGenerator", "Study", "StudyEnvironment", "StudyStep")
_ENVIRONMENT = ("GitDependency", "PathDependency", "Script", "Variable")

#: The public modules of Maestro, with the names that have a counterpart.
MODULES: dict[str, tuple[str, ...]] = {
    "": (
        "BaseStatusRenderer", "FlatStatusRenderer", "LegacyStatusRenderer", "NarrowStatusRenderer",
        "StatusRendererFactory", "status_renderer_factory",
    ),
    "abstracts": (
        "Dependency", "Graph", "PickleInterface", "Singleton", "Source", "Specification", "Substitution",
        "abstractclassmethod",
    ),
    "abstracts.abstractclassmethod": ("abstractclassmethod",),
    "abstracts.containers": ("Record",),
    "abstracts.enums": ("CancelCode", "JobStatusCode", "State", "StepPriority", "StudyStatus", "SubmissionCode"),
    "abstracts.envobject": ("Dependency", "EnvObject", "Source", "Substitution"),
    "abstracts.graph": ("Graph",),
    "abstracts.interfaces": ("SchedulerScriptAdapter", "ScriptAdapter"),
    "abstracts.interfaces.flux": (),
    "abstracts.interfaces.schedulerscriptadapter": ("SchedulerScriptAdapter",),
    "abstracts.interfaces.scriptadapter": ("ScriptAdapter",),
    "abstracts.specification": ("Specification",),
    "conductor": ("Conductor",),
    "datastructures": ("DAG",),
    "datastructures.core": _CORE,
    "datastructures.core.executiongraph": ("SOURCE", "ExecutionGraph", "_StepRecord"),
    "datastructures.core.parameters": ("Combination", "ParameterGenerator"),
    "datastructures.core.study": ("SOURCE", "Study", "StudyStep"),
    "datastructures.core.studyenvironment": ("StudyEnvironment",),
    "datastructures.dag": ("DAG",),
    "datastructures.environment": _ENVIRONMENT,
    "datastructures.environment.gitdependency": ("GitDependency",),
    "datastructures.environment.pathdependency": ("PathDependency",),
    "datastructures.environment.script": ("Script",),
    "datastructures.environment.variable": ("Variable",),
    "interfaces": ("ScriptAdapterFactory",),
    "interfaces.script": ("CancellationRecord", "SubmissionRecord"),
    "interfaces.script.fluxscriptadapter": ("FluxScriptAdapter",),
    "interfaces.script.localscriptadapter": ("LocalScriptAdapter",),
    "interfaces.script.lsfscriptadapter": ("LSFScriptAdapter",),
    "interfaces.script.slurmscriptadapter": ("SlurmScriptAdapter",),
    "maestro": (
        "cancel_study", "expand_update_args", "load_parameter_generator", "main", "run_study", "setup_argparser",
        "status_study", "update_study_exec", "validate_update_args",
    ),
    "specification": ("YAMLSpecification",),
    "specification.yamlspecification": ("YAMLSpecification",),
    "utils": (
        "LoggerUtility", "apply_function", "coerce_dict_values", "create_dictionary", "create_parentdir",
        "csvtable_to_dict", "dict_to_dot_strings", "generate_filename", "get_duration", "iter_dotpath_items",
        "make_safe_path", "parse_version", "ping_url", "round_datetime_seconds", "start_process",
        "unflatten_dotpath_dict", "unflatten_dotpath_tuples", "update_recursive",
    ),
}  # fmt: skip
