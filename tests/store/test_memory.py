"""What is kept of freed memory, seen in fresh processes."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's allocator takes these options"
)

_PROGRAM = """
import json, resource, sys
import torch
from pathlib import Path
from store import memory

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(64 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

if sys.argv[1] == "keep":
    memory.keep_freed_memory()
count_faults()
faults, kept = count_faults(), resident_bytes()
memory.release_freed_memory()
print(json.dumps({"faults": faults, "returned": kept - resident_bytes()}))
"""


def _run(mode: str) -> dict[str, int]:
    output = subprocess.check_output([sys.executable, "-c", _PROGRAM, mode], text=True)
    return json.loads(output)  # type: ignore[no-any-return]


def test_memory_that_was_freed_is_used_again_without_page_faults() -> None:
    assert _run("keep")["faults"] * 10 < _run("plain")["faults"]


def test_memory_that_was_kept_can_be_given_back() -> None:
    assert _run("keep")["returned"] > 32 * 2**20


def test_the_collector_looks_rarely_and_never_at_what_was_there() -> None:
    program = (
        "import gc; from store.memory import collect_rarely; collect_rarely(); "
        "print(gc.get_threshold()[0] > 700, gc.get_freeze_count() > 0)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "True True\n"
