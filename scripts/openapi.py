"""Writes `docs/openapi.json`: what the service serves at `/openapi.json` (`make openapi`).

Clients can be generated from it without a service, and a change of the API shows in its review.
"""

import json
from pathlib import Path

from service.app import create_app
from store.settings import Settings

SNAPSHOT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def main() -> None:
    """Write the document, in the same order every time."""
    document = create_app(Settings(_env_file=None)).openapi()
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    SNAPSHOT.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
