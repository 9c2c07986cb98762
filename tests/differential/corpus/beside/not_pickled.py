"""A generator of parameters that keeps an object which can't be pickled."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator()
    made.add_parameter("A", [1, 2], "A.%%")
    made.rest = (number for number in (3, 4))
    return made
