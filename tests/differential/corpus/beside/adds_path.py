"""Adds a path, by the modules of Maestro's that hold the classes."""

from maestrowf.datastructures.core.parameters import ParameterGenerator
from maestrowf.datastructures.core.studyenvironment import StudyEnvironment
from maestrowf.datastructures.environment.pathdependency import PathDependency


def get_custom_generator(env, **kwargs):
    assert StudyEnvironment is not None
    env.add(PathDependency("INPUTS", "beside/data"))
    made = ParameterGenerator()
    made.add_parameter("ROWS", [2], "ROWS.%%")
    return made
