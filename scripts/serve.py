"""Runs the API and a worker side by side (`make serve`): `tenfold up` without its options."""

import asyncio
import sys

from client.launcher import serve

if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
