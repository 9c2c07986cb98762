"""A list of labels, one for each value."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator()
    made.add_parameter("P", ["alpha beta", "gamma/delta"], ["ab", "cd"])
    made.add_parameter("Q", [1.5, 2.5], ["same", "same"], "cue")
    return made
