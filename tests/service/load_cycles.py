"""Load and unload a model again and again, and print what memory the process holds; a script.

Argument: an empty folder. Prints the size of the network, and the resident memory after the
warm-up and after every 20 of the 200 cycles that follow.
"""

import gc
import json
import os
import sys
from pathlib import Path

from service.loaded_models import LoadedModels
from store.memory import bound_arenas, release_freed_memory
from tests.service.serving import (
    build_network,
    encode,
    make_pixels,
    make_settings,
    publish,
    run_with_models,
)

# The pool's threads and the allocator settle within fifty.
WARM_UP_CYCLES = 60
CYCLES = 200
SAMPLE_CYCLES = 20
SIDE = 128


def main(folder: Path) -> None:
    bound_arenas()
    settings = make_settings(folder, predict_batch_images=1)
    network = build_network(height=SIDE, width=SIDE)
    publish(settings, "animals", network, height=SIDE, width=SIDE)
    picture = encode(make_pixels(1))
    resident_bytes: list[int] = []

    async def scenario(loaded: LoadedModels) -> None:
        async def run_cycles(count: int) -> None:
            for _ in range(count):
                model = await loaded.find("animals")
                await model.predict([picture], deadline_seconds=30)
                loaded.unload(model.key)

        await run_cycles(WARM_UP_CYCLES)
        resident_bytes.append(read_resident_bytes())
        for _ in range(CYCLES // SAMPLE_CYCLES):
            await run_cycles(SAMPLE_CYCLES)
            resident_bytes.append(read_resident_bytes())

    run_with_models(settings, scenario)
    found = {"network_bytes": len(network), "resident_bytes": resident_bytes}
    sys.stdout.write(json.dumps(found))


def read_resident_bytes() -> int:
    """Return the memory in use, without what the C library keeps for later."""
    gc.collect()
    release_freed_memory()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
