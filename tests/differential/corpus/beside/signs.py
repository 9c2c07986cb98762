"""A generator with a sign of its own in place of %%."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator(ltoken="@")
    made.add_parameter("A", [1, 2], "A_@_%%")
    return made
