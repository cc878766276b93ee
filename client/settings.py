"""Where the service is, and the key for it: environment variables and the `.env` file."""

import ipaddress

import httpx
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TENFOLD_", env_file=".env", extra="ignore", frozen=True
    )

    url: str | None = Field(
        default=None,
        description="Address of the service. Default: made of `TENFOLD_HOST` and `TENFOLD_PORT`.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key that is sent with each request; none where none is needed."
    )
    host: str = "127.0.0.1"
    port: int = 8000


def read_settings() -> ClientSettings:
    """Return the settings. Raises ValueError with the variable that is wrong."""
    try:
        return ClientSettings()
    except ValidationError as error:
        reasons = [
            f"TENFOLD_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
        ]
        raise ValueError("; ".join(reasons)) from error


def resolve_url(url: str | None = None) -> str:
    """Return the address to use: the given one, else `TENFOLD_URL`, else host and port.

    Raises ValueError where it is no http address.
    """
    settings = read_settings()
    chosen = url or settings.url or join_url(settings.host, settings.port)
    try:
        parsed = httpx.URL(chosen)
    except httpx.InvalidURL as error:
        raise ValueError(f"{chosen!r} is no address ({error}): {_EXAMPLE}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{chosen!r} is no address of a service: {_EXAMPLE}")
    return chosen.rstrip("/")


def resolve_api_key(api_key: str | None = None) -> str | None:
    """Return the key to send: the given one, else `TENFOLD_API_KEY`.

    Raises ValueError where it can be no key; the message does not repeat it.
    """
    known = read_settings().api_key
    chosen = (api_key or (known.get_secret_value() if known else "")).strip()
    if not chosen.isascii() or not chosen.isprintable() or " " in chosen:
        raise ValueError("The API key has characters that no key has: copy it again.")
    return chosen or None


_EXAMPLE = "write it like http://127.0.0.1:8000"


def join_url(host: str, port: int) -> str:
    """Return the address at which this machine reaches a service that listens there."""
    # A server that listens on every address is reached on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared only
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(url: str) -> bool:
    """Tell whether the address is on this machine, where no proxy helps."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
