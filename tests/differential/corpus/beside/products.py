"""All combinations of two lists."""

import itertools

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters: 3 x 4 of them."""
    made = ParameterGenerator()
    first, second = zip(*itertools.product((1, 2, 3), "wxyz"), strict=True)
    made.add_parameter("A", list(first), "A.%%")
    made.add_parameter("B", list(second), "B.%%")
    return made
