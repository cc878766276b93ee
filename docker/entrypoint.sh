#!/bin/sh
# What a container runs: `service` (the default), `worker`, `migrate`, or any other command.
set -eu

cd "$(dirname "$0")/.."
role=${1:-service}

check_data_folder() {
    data=${TENFOLD_DATA:-data}
    if ! mkdir -p "$data" 2>/dev/null || [ ! -w "$data" ]; then
        echo "The data folder $data is not writable by user $(id -u): give it to that user" \
            "(chown -R $(id -u):$(id -g) on the mounted folder), or mount a named volume." >&2
        exit 1
    fi
}

# exec, so that the stop signal reaches Python and not this shell.
case "$role" in
service | worker)
    check_data_folder
    exec python -m "$role"
    ;;
migrate)
    check_data_folder
    exec python -m alembic upgrade head
    ;;
*)
    exec "$@"
    ;;
esac
