"""Settings: environment variables `TENFOLD_…`, or the same names in a `.env` file."""

import base64
import binascii
import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_HTTP_URL = TypeAdapter(HttpUrl)
_WEBHOOK_KEY_START = "whsec_"
_WEBHOOK_KEY_ADVICE = (
    'write "whsec_" and then 24 to 64 random bytes in base64; '
    "`echo whsec_$(openssl rand -base64 32)` prints such a secret"
)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TENFOLD_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        # A secret among them must not get into the log with a misspelt neighbour.
        hide_input_in_errors=True,
    )

    data: Path = Field(
        default=Path("data"),
        description="Folder of the database, the data sets and their packed copies.",
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the database. Default: `tenfold.db` in the data folder.",
    )
    database_max_bytes: int | None = Field(
        default=None,
        ge=1 << 20,
        description="Largest size of the database file; what does not fit is refused. Default: "
        "the disk's room.",
    )
    artifacts_url: str = Field(
        default="database:",
        pattern=r"^(database:|file:///.+)$",
        description="Where checkpoints and models are kept: `database:` or `file:///folder`.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    published: str | None = Field(
        default=None,
        pattern=r"^(.+:)?\d+(-\d+)?$",
        description="Where a container engine publishes the port; set by the Compose file.",
    )
    open: bool = Field(
        default=False,
        description="Ask nobody for a key, also where other machines reach the API.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names, with commas between, that an API without keys answers to as well.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins, with commas between, whose web pages may use the API.",
    )
    key_requests_per_second: float = Field(
        default=500.0, ge=0, description="Most requests of one key on average; 0 is no limit."
    )
    key_queued_jobs: int = Field(
        default=100, ge=0, description="Most jobs of one key in the queue; 0 is no limit."
    )
    webhook_url: str | None = Field(
        default=None, description="Where the API tells of jobs that ended. Default: nowhere."
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="What webhooks are signed with: `whsec_` and 24 to 64 bytes in base64.",
    )
    webhook_allow_private: bool = Field(
        default=False, description="Let webhooks go to private addresses and this machine's own."
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Device of the worker: `auto`, `cpu`, `cuda` or `cuda:1`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe message that is logged."
    )
    heartbeat_interval_seconds: float = Field(
        default=5.0, gt=0, description="How often a worker says that it is alive."
    )
    lease_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a silent worker keeps its job before another may take it.",
    )
    checkpoint_interval_seconds: float = Field(
        default=60.0, gt=0, description="Longest time between two checkpoints of a running job."
    )
    checkpoints_kept: int = Field(
        default=2, ge=2, le=1000, description="Newest checkpoints kept of each job, and the best."
    )
    predict_batch_images: int = Field(
        default=64, ge=1, le=4096, description="Most images that run through a network at once."
    )
    predict_queue_images: int = Field(
        default=1024,
        ge=1,
        description="Most images that wait for one model; requests beyond it are answered 503.",
    )
    predict_deadline_seconds: float = Field(
        default=10.0, gt=0, description="Longest time a prediction waits for its turn."
    )
    predict_models_bytes: int = Field(
        default=1_000_000_000,
        ge=0,
        description="Size of the networks kept in memory; the least recently used leaves.",
    )

    limit_connections: int = Field(
        default=2_000,
        ge=16,
        description="Connections of one server process; beyond it the one that has waited "
        "longest for its client makes room.",
    )
    limit_header_bytes: int = Field(
        default=16_384, ge=1_024, description="Largest header of a request, with its address."
    )
    limit_header_seconds: float = Field(
        default=10.0, gt=0, description="Longest time until the header of a request is there."
    )
    limit_upload_seconds: float = Field(
        default=300.0, gt=0, description="Longest time until the body of a request is there."
    )
    limit_upload_bytes_per_second: float = Field(
        default=1_000.0,
        ge=0,
        description="Slowest upload, on average and after the time that a header may take.",
    )
    limit_reply_seconds: float = Field(
        default=60.0, gt=0, description="Longest time in which a client reads nothing of its reply."
    )
    limit_body_bytes: int = Field(
        default=1 << 20, ge=1_024, description="Largest body of a request without pictures."
    )
    limit_predict_body_bytes: int = Field(
        default=64 << 20, ge=1_024, description="Largest body of a request with pictures."
    )
    limit_request_images: int = Field(
        default=1_024, ge=1, description="Most pictures of one request."
    )
    limit_image_pixels: int = Field(
        default=50_000_000,
        ge=1_024,
        # Pillow itself doubts larger ones.
        le=89_000_000,
        description="Most pixels of a picture that is sent.",
    )
    limit_queued_jobs: int = Field(
        default=10_000, ge=1, description="Most jobs in the queue, of all clients together."
    )
    limit_batch_bytes: int | None = Field(
        default=None,
        # One image of any data set fits.
        ge=1 << 24,
        description="Most memory that the images of a job's batch may take. Default: the memory "
        "of the API's machine.",
    )

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in {"http", "https"}
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is no origin: write it like https://example.org")
        return origins

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = _HTTP_URL.validate_python(url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("write it without a user: the receiver knows us by the signature")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None or not secret.get_secret_value():
            return None
        if not 24 <= len(_decode_webhook_secret(secret)) <= 64:  # noqa: PLR2004
            raise ValueError(_WEBHOOK_KEY_ADVICE)
        return secret

    @model_validator(mode="after")
    def _check_webhook(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError(
                f"TENFOLD_WEBHOOK_URL needs TENFOLD_WEBHOOK_SECRET beside it: {_WEBHOOK_KEY_ADVICE}"
            )
        return self

    @property
    def webhook_key(self) -> bytes:
        """The bytes that webhooks are signed with; none where they are off."""
        return b"" if self.webhook_secret is None else _decode_webhook_secret(self.webhook_secret)

    @property
    def is_reachable(self) -> bool:
        """Whether other machines may reach the API."""
        if _is_loopback(self.host):
            return False
        # Within a container the API listens on every address, and the engine decides.
        published_host = (self.published or "").rpartition(":")[0]
        return not _is_loopback(published_host)

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data / 'tenfold.db').resolve()}"

    @property
    def artifacts_folder(self) -> Path | None:
        """Where the bytes of checkpoints and models are; None while they are in the database."""
        if self.artifacts_url == "database:":
            return None
        return Path(unquote(urlsplit(self.artifacts_url).path))

    @property
    def datasets_folder(self) -> Path:
        """Where users put data sets: `<name>/{train,test}/<class>/*`."""
        return self.data / "datasets"

    @property
    def crashes_folder(self) -> Path:
        """Where each worker notes where it is, for the case that it dies."""
        return self.data / "crashes"

    @property
    def packed_folder(self) -> Path:
        """Where the worker keeps decoded copies; safe to delete while nothing runs."""
        return self.data / "packed"


def _decode_webhook_secret(secret: SecretStr) -> bytes:
    """Return the key. Raises ValueError where it is not written as Standard Webhooks has it."""
    start, _, encoded = secret.get_secret_value().rpartition(_WEBHOOK_KEY_START)
    if start or not encoded:
        raise ValueError(_WEBHOOK_KEY_ADVICE)
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(_WEBHOOK_KEY_ADVICE) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
