"""Lets a tick start without modules that its libraries import and that no tick uses.

msgspec imports uuid and decimal for the types UUID and Decimal, and its own modules for other formats. pathlib imports
urllib.parse for `as_uri`, and fnmatch and re for patterns. typing imports re for two aliases. All this takes a sixth
of a tick with nothing to do. So while msgspec and pathlib are imported, stand-ins replace these modules. Later, each
of these modules can be imported normally, and a function of a stand-in calls the real function. Three differences
remain: msgspec knows neither UUID nor Decimal, it makes no JSON Schemas, and `typing.Pattern` and `typing.Match` are
aliases of nothing.
"""

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The modules that have stand-ins. msgspec does not need typing_extensions, so an import of it is made to fail.
_NAMES: tuple[str, ...] = (
    "decimal", "msgspec._json_schema", "msgspec.inspect", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml",
    "urllib.parse", "uuid",
)  # fmt: skip
_ABSENT = "typing_extensions"
#: From Python 3.12 on, pathlib calls these two while it is imported.
if sys.version_info < (3, 12):
    _NAMES += ("fnmatch", "re")


class _AnyAttribute(type):
    """The type of a class that has every attribute."""

    def __getattr__(cls, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _StandIn(type(sys)):  # type: ignore[misc] # types.ModuleType, without an import
    """A module that has every name.

    A name that begins with a capital letter is a class, and any other name is a function.
    """

    def __getattr__(self, name: str) -> "Callable[..., object]":
        if name.startswith("__"):
            raise AttributeError(name)
        module = str(self.__name__)
        if name[0].isupper():
            return _AnyAttribute(name, (), {"__module__": module})

        def call(*arguments: object, **keywords: object) -> object:
            return getattr(importlib.import_module(module), name)(*arguments, **keywords)

        return call


def import_lightly() -> None:
    """Import msgspec and pathlib, with stand-ins for modules that no tick uses.

    If this fails, import them normally.
    """
    modules: dict[str, object] = vars(sys)["modules"]
    placed = {name: _StandIn(name) for name in _NAMES if name not in modules}
    absent = () if _ABSENT in modules else (_ABSENT,)
    modules.update(placed, **dict.fromkeys(absent))
    try:
        import pathlib  # noqa: F401 - now

        import msgspec  # noqa: F401 - likewise
    except (AttributeError, ImportError, TypeError):  # a later version needs more than the stand-ins have
        pass
    finally:
        for name in (*placed, *absent):
            del modules[name]
