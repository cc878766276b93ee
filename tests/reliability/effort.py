"""How hard the tests try: a short while in `make test`, to the end in `make chaos`."""

import os

IS_CHAOS = os.environ.get("TENFOLD_CHAOS") == "1"
