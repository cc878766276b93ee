"""What lies in a folder."""

from pathlib import Path


def list_folder(folder: Path) -> list[Path]:
    """Return what lies in `folder`: nothing, where there is no such folder.

    Raises OSError where it cannot be read. From Python 3.13 on, `Path.glob` would find nothing.
    """
    try:
        return list(folder.iterdir())
    except OSError:
        if folder.is_dir():
            raise
        return []
