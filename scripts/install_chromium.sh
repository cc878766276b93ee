#!/bin/sh
# Makes sure that the dashboard's tests find a Chromium: Debian's where there is none.
# CHROMIUM=/path/to/chromium names another one.
set -eu

for candidate in ${CHROMIUM:-chromium chromium-browser google-chrome}; do
    if command -v "$candidate" >/dev/null; then
        exit 0
    fi
done

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian's Chromium for the dashboard's tests"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --quiet --no-install-recommends chromium ||
        { apt-get update --quiet &&
            apt-get install --yes --quiet --no-install-recommends chromium; }
    exit 0
fi

cat >&2 <<END
The dashboard's tests need Chromium, and there is none${CHROMIUM:+ at $CHROMIUM}. Install it
(Debian and Ubuntu: sudo apt install chromium; Fedora: sudo dnf install chromium), or name one:
CHROMIUM=/path/to/chrome make test. To run the other tests only:
make test TESTS="--ignore=tests/dashboard"
END
exit 1
