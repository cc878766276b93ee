#!/bin/sh
# Makes .venv with exactly what requirements.lock names. Safe to run again after an interruption.
# PYTHON=/path/to/python3 chooses the interpreter.
set -eu

cd "$(dirname "$0")/.."
venv=.venv
# Packages 7 GB, and the 3.2 GB of downloads they are unpacked from; pip's cache keeps another copy.
needed_gb=10
needed_with_cache_gb=13

fail() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

# Also refuses a pyenv shim that stands for no installed version.
is_suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() {
    without_venv=
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        is_suitable "$candidate" || continue
        if can_make_venv "$candidate"; then
            command -v "$candidate"
            return
        fi
        without_venv=$candidate
    done
    if [ -n "$without_venv" ]; then
        fail "$without_venv lacks the venv module. On Debian and Ubuntu: apt install python3-venv"
    fi
    fail "Tenfold needs Python 3.11, 3.12 or 3.13; ${PYTHON:-none of python3.13, python3.12," \
        "python3.11 and python3} is one. Install it (Debian: apt install python3 python3-venv)" \
        "or name it: make install PYTHON=/path/to/python3"
}

check_space() {
    free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    if [ "$free_gb" -lt "$needed_gb" ]; then
        fail "Installing needs $needed_gb GB of disk (7 GB stay) and $(pwd) has $free_gb GB free." \
            "Free some space, then run this again."
    fi
}

if ! { [ -x "$venv/bin/python" ] && is_suitable "$venv/bin/python" &&
    "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
    python=$(find_python)
    check_space
    echo "Making $venv with $python ($("$python" --version 2>&1))"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
# Progress bars for the long installation, silence when there is little to do.
verbosity=--quiet
if [ ! -d "$(echo "$venv"/lib/python3.*/site-packages/torch/lib)" ]; then
    verbosity=
    check_space
    if [ "$free_gb" -lt "$needed_with_cache_gb" ]; then
        export PIP_NO_CACHE_DIR=1
    fi
    echo "Installing PyTorch and the rest: 3 GB to download, 7 GB on disk, a few minutes."
fi

# Large wheels are unpacked next to their target: /tmp may be small or in memory.
mkdir -p "$venv/tmp"
trap 'rm -rf "$venv/tmp"' EXIT
export TMPDIR="$PWD/$venv/tmp" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
# shellcheck disable=SC2086 # empty means no option at all
"$venv/bin/python" -m pip install $verbosity --require-hashes --requirement requirements.lock ||
    fail "The packages were not installed; the reason is above. Without network: connect, or" \
        "point pip at a mirror (pip config set global.index-url …). Then run this again: what" \
        "was downloaded is kept."
# The project itself, in place; the lock has its build tool, so nothing more is downloaded.
# The build tool warns of what editable installations are.
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --no-index --no-deps \
    --no-build-isolation --editable .
touch "$venv/.complete"
