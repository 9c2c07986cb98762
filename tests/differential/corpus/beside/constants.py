"""Two parameters as in a study file, and one with a name."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return the parameters."""
    made = ParameterGenerator()
    made.add_parameter("SIZE", [10, 20, 30], "SIZE.%%")
    made.add_parameter("KIND", ["x", "y", "x"], label="k_%%_k", name="kind of thing")
    return made
