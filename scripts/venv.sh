# Sourced by the other scripts: makes .venv and installs automl into it, when that is still to be done.
# Usage: . scripts/venv.sh EXTRAS    (such as "offline" or "dev,offline")

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    for name in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$name"
            return
        fi
    done
    echo "automl needs Python 3.11 or newer; none was found. Install one, or name it: PYTHON=/path/to/python $0" >&2
    exit 1
}

ensure_venv() {
    local extras=$1 stamp wanted
    wanted="$extras $(cksum <pyproject.toml)"
    stamp=.venv/.installed-${extras//,/-}
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "Making .venv …" >&2
        "$(find_python)" -m venv .venv
    fi
    echo "Installing automl and what it needs into .venv (a few minutes the first time) …" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
    echo "$wanted" >"$stamp"
}

ensure_venv "$1"
