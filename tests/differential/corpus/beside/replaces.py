"""A parameter that is added twice keeps its place."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator()
    made.add_parameter("A", [1, 2], "A.%%")
    made.add_parameter("B", [3, 4])
    made.add_parameter("A", [5, 6], "again.%%")
    return made
