"""The cores that are ours, on Linux and on systems that do not tell."""

import os
import subprocess
import sys

from store.cores import count_cores


def test_cores_that_are_not_ours_are_not_counted() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_all_cores_are_counted_where_the_system_does_not_tell() -> None:
    program = (
        "import os; del os.sched_getaffinity; from store.cores import count_cores; "
        "print(count_cores() == os.cpu_count())"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "True\n"
