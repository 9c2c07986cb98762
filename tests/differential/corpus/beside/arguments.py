"""Makes parameters from arguments, and from the environment."""

from maestrowf.datastructures.core import ParameterGenerator


def get_custom_generator(env, **kwargs):
    """Return `count` values with the distance `step`."""
    made = ParameterGenerator()
    count, step = int(kwargs["count"]), float(kwargs.get("step", "1"))
    made.add_parameter("X", [env.find("SEED").value + step * index for index in range(count)], "X.%%")
    seen = [env.find("FOLDER").value, kwargs["OUTPUT_PATH"], kwargs["SPECROOT"].value]
    made.add_parameter("SEEN", [text.rpartition("/")[2] for text in seen])
    made.add_parameter("NOTE", [kwargs["note"], str(env.find("NOTHING")), type(kwargs["count"]).__name__], "N.%%")
    return made
