"""The file that ``maestro update`` leaves for a conductor: YAML, ``{rlimit: 3, sleep: null, throttle: 20}``."""

from __future__ import annotations

import yaml

#: The keys that Maestro 1.2.1 writes; they are the names of its options. What was not given is null.
_KEYS = ("rlimit", "sleep", "throttle")


def read_update(text: str) -> dict[str, int]:
    """Return the values that were given, by the names of their options. ValueError says what is wrong with the text.

    0 is a value ("no limit"), though Maestro's conductor takes it for nothing.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError(  # noqa: TRY004 - what is wrong is the text
            f"it holds no mapping of {', '.join(_KEYS)}"
        )
    for key, value in data.items():
        if key not in _KEYS:
            raise ValueError(f"it holds the key {key!r}; known are {', '.join(_KEYS)}")
        if value is not None and type(value) is not int:
            raise ValueError(f"the value of {key} is no whole number: {value!r}")
    return {key: value for key, value in data.items() if value is not None}
