"""A generator of parameters that fails."""


def get_custom_generator(env, **kwargs):
    """Raise."""
    raise LookupError("no parameters today")
