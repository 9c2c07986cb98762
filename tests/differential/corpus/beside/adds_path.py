"""Adds a path, by importing the classes from Maestro's inner modules."""

from maestrowf.datastructures.core.parameters import ParameterGenerator
from maestrowf.datastructures.core.studyenvironment import StudyEnvironment
from maestrowf.datastructures.environment.pathdependency import PathDependency


def get_custom_generator(env, **kwargs):
    assert StudyEnvironment is not None
    env.add(PathDependency("INPUTS", "beside/data"))
    made = ParameterGenerator()
    made.add_parameter("ROWS", [2], "ROWS.%%")
    return made
