# Read by the other scripts here, in the top directory: makes a virtual environment with this project in it.

# The newest Python that can do it, as "MINOR PATH"; nothing if there is none.
newest_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        "$candidate" -c '
import sys, ensurepip, sqlite3, venv
sys.version_info >= (3, 10) or sys.exit(1)
print(sys.version_info[1], sys.executable)' 2>/dev/null
    done | sort -n -r | head -n 1
}

# prepare_venv DIRECTORY WHAT: install WHAT (`.` or `.[dev]`), editable, unless that is what is there already.
prepare_venv() {
    stamp=$(pwd && cat setup.cfg pyproject.toml) || return 1
    [ "$stamp" = "$(cat "$1/installed" 2>/dev/null)" ] && "$1/bin/python" -c '' 2>/dev/null && return 0
    if ! "$1/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(newest_python)
        python=${python#* }
        if [ -z "$python" ]; then
            echo "$0: needs Python 3.10 or later with venv and sqlite3 (Debian, Ubuntu: apt install python3-venv)" >&2
            return 1
        fi
        "$python" -m venv --clear "$1" || return 1
    fi
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$2" || return 1
    printf '%s\n' "$stamp" >"$1/installed"
}
