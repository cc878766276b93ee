"""What `make install` says when it cannot work, before it downloads anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Checkout:
    """A folder with the script alone, and a PATH of chosen commands in front of the system's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands = folder / "commands"
        self.commands.mkdir()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "install.sh", folder / "scripts")
        for name in ("python3.13", "python3.12", "python3.11", "python3"):
            self.add_command(name, "exit 127")

    def add_command(self, name: str, body: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def install(self, **variables: str) -> str:
        """Run the script, which must fail, and return what it says."""
        outcome = subprocess.run(
            [self.folder / "scripts" / "install.sh"],
            env={"PATH": f"{self.commands}:{os.environ['PATH']}", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 1, outcome.stdout
        assert not (self.folder / ".venv").exists()
        return outcome.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_a_suitable_python_it_says_which_are(checkout: Checkout) -> None:
    """A pyenv shim of a version that is not installed exists and fails, as these do."""
    message = checkout.install()
    assert "Tenfold needs Python 3.11, 3.12 or 3.13" in message
    assert "make install PYTHON=/path/to/python3" in message


def test_a_named_python_that_does_not_suit_is_refused(checkout: Checkout) -> None:
    checkout.add_command("old-python", "exit 1")
    checkout.add_command("python3", f'exec {sys.executable} "$@"')
    assert "old-python is one" in checkout.install(PYTHON="old-python")


def test_without_the_venv_module_it_names_the_debian_package(checkout: Checkout) -> None:
    checkout.add_command("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    assert "apt install python3-venv" in checkout.install()


def test_with_little_disk_it_says_how_much_is_needed_and_free(checkout: Checkout) -> None:
    """The shims in front of the working interpreter are passed over."""
    checkout.add_command("python3", f'exec {sys.executable} "$@"')
    checkout.add_command("df", "echo header; echo /dev/vda 9 9 3145728 90% /")
    message = checkout.install()
    assert "needs 10 GB of disk" in message
    assert "has 3 GB free" in message
