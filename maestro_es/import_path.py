"""Cleans `sys.path`, so that a user's module is never imported instead of a module of maestro-es or Python.

A user may have a ``sqlite3.py`` in a workspace, in HOME or in PYTHONPATH. It must not run as a part of a tick. So the
command line removes the current directory, PYTHONPATH and the user's site directory from its path. The commands that
maestro-es writes into files start Python with ``-I``, which does the same before the first module is loaded.

maestro-es itself may be installed in such a directory, by a module system or with ``pip install --user``. Then that
directory stays on the path. Other directories with installed distributions (``*.dist-info``) also stay, because the
dependencies of maestro-es may be there. All these directories come after the standard library and before all other
packages.

This module is imported before the path is clean. So it imports only modules that every interpreter has already loaded.
For the same reason its annotations are texts, because ``from __future__ import annotations`` would load a module.
"""

import os.path
import site
import sys

#: ``-X maestro_es_path=DIR:DIR`` names the directories other than `_HOME` that contain the dependencies.
_OPTION = "maestro_es_path"

_MAIN = os.path.abspath(os.path.join(os.path.dirname(__file__), "__main__.py"))
#: The directory that contains this package.
_HOME = os.path.dirname(os.path.dirname(_MAIN))

_original: "list[str]" = []


def clean() -> None:
    """Remove the user's directories from `sys.path`."""
    own, users = _own_places(), _user_places()
    if not own and not users:
        return
    before = sys.path[:]
    for path in own[1:]:
        if sys.flags.isolated and _holds(path, "maestro_es-"):
            site.addsitedir(path)  # an editable installation has a .pth file there
    rest = [entry for entry in sys.path if entry not in own and _absolute(entry) not in users]
    library = [entry for entry in rest if _is_library(entry)]
    sys.path[:] = [*library, *own, *(entry for entry in rest if entry not in library)]
    if not sys.flags.isolated:
        _original[:] = before


def path_of_user() -> "list[str]":
    """Return `sys.path` as it was before `clean` (empty: `clean` has changed nothing)."""
    return _original[:]


def own_command() -> "list[str]":
    """Return the command that starts this installation without the user's directories on its path."""
    own = _own_places()
    interpreter = _absolute(sys.executable)
    if not own:
        return [interpreter, "-I", "-m", "maestro_es"]
    options = ["-X", f"{_OPTION}={os.pathsep.join(own[1:])}"] if own[1:] else []
    return [interpreter, "-I", *options, _MAIN]


def _own_places() -> "list[str]":
    """Return the directories that this installation needs and ``python -I`` does not search. The first is `_HOME`."""
    if sys.flags.isolated:
        named = str(sys._xoptions.get(_OPTION, ""))  # noqa: SLF001 - the manual of -X says so
        others = [path for path in named.split(os.pathsep) if path]
    elif _HOME in _user_places() or _holds(_user_site(), "maestro_es-"):
        others = [path for path in _named_by_user() if path != _HOME and _holds(path, "")]
    else:
        others = []
    found_anyway = _HOME not in sys.path or _HOME in site.getsitepackages()
    return [] if found_anyway and not others else [_HOME, *others]


def _user_places() -> "list[str]":
    """Return the absolute paths that come from the user, not from the interpreter."""
    if sys.flags.isolated:
        return []
    started_from = [] if getattr(sys.flags, "safe_path", False) else (_original or sys.path)[:1]
    places = [*map(_absolute, started_from), *_named_by_user()]
    return [path for path in places if path not in site.getsitepackages() and not _is_library(path)]


def _named_by_user() -> "list[str]":
    """Return the directories of PYTHONPATH, and the user's site directory."""
    named = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    places = [_absolute(path) for path in named.split(os.pathsep)] if named else []
    return [*places, *filter(None, [_user_site()])]


def _user_site() -> str:
    """Return the user's site directory, if this process uses it."""
    return (site.USER_SITE or "") if site.ENABLE_USER_SITE else ""


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # the path is relative, and the current directory was removed
        return path


def _is_library(path: str) -> bool:
    """Return whether a directory is the standard library, or its compiled part."""
    return path == os.path.dirname(str(os.__file__)) or path.endswith("/lib-dynload")


def _holds(path: str, distribution: str) -> bool:
    """Return whether a directory contains an installed distribution whose name begins with `distribution`."""
    try:
        names = os.listdir(path) if path else []
    except OSError:
        return False
    return any(name.startswith(distribution) and name.endswith((".dist-info", ".egg-info")) for name in names)
