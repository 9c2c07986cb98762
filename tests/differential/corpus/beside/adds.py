"""Adds a variable and a label, replaces a value, removes one, and reads the others."""

from maestrowf.datastructures.core import ParameterGenerator
from maestrowf.datastructures.environment import Variable


def get_custom_generator(env, **kwargs):
    env.add(Variable("SEASON", "spring"))
    env.add(Variable("TITLE", "$(SEASON)-title"))
    env.remove("YEAR")
    env.add(Variable("YEAR", 2027))
    env.remove("OLD")
    env.add(Variable("KNOWN", "+".join(sorted(env.labels))))
    made = ParameterGenerator()
    made.add_parameter("ROWS", [2, 3], "ROWS.%%")
    return made
