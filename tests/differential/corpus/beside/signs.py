"""A generator with another sign instead of %%."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator(ltoken="@")
    made.add_parameter("A", [1, 2], "A_@_%%")
    return made
