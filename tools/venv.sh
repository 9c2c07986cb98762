# Read by the other scripts here, in the top directory: makes a virtual environment with this project in it.

# The newest Python that can do it, as "MINOR PATH"; nothing if there is none.
newest_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        "$candidate" -c '
import sys, ensurepip, sqlite3, venv
sys.version_info >= (3, 10) or sys.exit(1)
print(sys.version_info[1], sys.executable)' 2>/dev/null || : # a shell may have pipefail set
    done | sort -n -r | head -n 1
}

# The path of the oldest Python that setup.cfg allows, on PATH or among pyenv's; nothing if there is none.
oldest_python() {
    minor=$(sed -n 's/^python_requires = >=3\.//p' setup.cfg)
    for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3; do
        "$candidate" -c '
import sys, ensurepip, sqlite3, venv
print(sys.executable)' 2>/dev/null && return
    done
}

# prepare_venv DIRECTORY WHAT [PYTHON]: install WHAT (`.` or `.[dev]`), editable, unless that is what is there already.
prepare_venv() {
    stamp=$(pwd && cat setup.cfg pyproject.toml) || return 1
    [ "$stamp" = "$(cat "$1/installed" 2>/dev/null)" ] && "$1/bin/python" -c '' 2>/dev/null && return 0
    if ! "$1/bin/python" -m pip --version >/dev/null 2>&1; then
        python=${3-$(newest_python)}
        python=${python#[0-9]* }
        if [ -z "$python" ]; then
            echo "$0: needs Python 3.10 or later with venv and sqlite3 (Debian, Ubuntu: apt install python3-venv)" >&2
            return 1
        fi
        "$python" -m venv --clear "$1" || return 1
    fi
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$2" || return 1
    printf '%s\n' "$stamp" >"$1/installed"
}
