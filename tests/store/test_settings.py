"""Every setting is documented, with the default that it has."""

import re
from pathlib import Path

import pytest

from store.settings import Settings

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ROWS = dict(re.findall(r"^\| `TENFOLD_([A-Z_]+)` \| ?`?([^`|]*?)`? ?\| ", OPERATIONS, re.MULTILINE))


def test_the_table_has_every_setting_and_no_other() -> None:
    assert list(ROWS) == [name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_is_the_real_one(name: str) -> None:
    default = Settings.model_fields[name].default
    assert ROWS[name.upper()] == ("" if default in (None, ()) else str(default))
