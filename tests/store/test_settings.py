"""Every setting is documented, with the default that it has."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from store.settings import Settings

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ROWS = dict(re.findall(r"^\| `TENFOLD_([A-Z_]+)` \| ?`?([^`|]*?)`? ?\| ", OPERATIONS, re.MULTILINE))

SECRET = f"whsec_{'QUJD' * 10}"


def test_the_table_has_every_setting_and_no_other() -> None:
    assert list(ROWS) == [name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_is_the_real_one(name: str) -> None:
    default = Settings.model_fields[name].default
    assert ROWS[name.upper()] == ("" if default in (None, ()) else str(default))


def test_a_webhook_without_a_secret_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValidationError, match="TENFOLD_WEBHOOK_URL needs TENFOLD_WEBHOOK_SECRET"):
        Settings(_env_file=None, webhook_url="https://example.org/hook")


@pytest.mark.parametrize(
    "secret",
    [
        "c2hvcnQ=",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_not base64, but long enough to be",
        f"whsec_{'QUJD' * 22}",
        f"x whsec_{'QUJD' * 10}",
    ],
)
def test_a_secret_that_the_standard_does_not_know_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValidationError, match="openssl rand -base64 32") as caught:
        Settings.model_validate({"webhook_secret": secret, "port": 0})
    assert f"'{secret}'" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "example.org",
        "ftp://example.org",
        "https://",
        "https://user:password@example.org",
        "https://exa mple.org",
        "https://example.org:99999",
    ],
)
def test_an_address_that_no_webhook_can_go_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook_url"):
        Settings(_env_file=None, webhook_url=url, webhook_secret=SECRET)


def test_empty_webhook_settings_are_none() -> None:
    settings = Settings(_env_file=None, webhook_url="", webhook_secret="")
    assert settings.webhook_url is None
    assert settings.webhook_key == b""


def test_the_secret_is_in_no_representation_of_the_settings() -> None:
    settings = Settings(_env_file=None, webhook_url="https://a.org", webhook_secret=SECRET)
    assert len(settings.webhook_key) == 30
    assert SECRET not in repr(settings)
