"""API keys, as an administrator sees them."""

from datetime import datetime

from client.schemas.base import Reply


class ApiKey(Reply):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class CreatedKey(ApiKey):
    """A new key; `key` cannot be read again."""

    key: str


class KeyList(Reply):
    items: list[ApiKey]
