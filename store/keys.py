"""API keys: who may ask the service for what. Only a hash of each secret is kept.

A key is `tenfold_<id>_<secret>`. The id is public and finds the row; the secret has 256 random
bits, so a fast hash is enough: there is nothing to guess that a slow one would protect.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store.clock import utc_now
from store.errors import InvalidRequestError, NotFoundError
from store.tables import ApiKey

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$"
ID_PATTERN = r"^[0-9a-f]{12}$"
LONGEST_LIFE_DAYS = 3650

_PREFIX = "tenfold"
_ID_BYTES = 6
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key may do. `ADMIN` may do everything; the others do not include each other."""

    READ = "read"
    PREDICT = "predict"
    TRAIN = "train"
    ADMIN = "admin"


class PresentedKey(NamedTuple):
    """A key as a client sends it."""

    id: str
    secret: str


def create(
    session: Session, name: str, scopes: Iterable[Scope], *, expires_in_days: int | None = None
) -> tuple[ApiKey, str]:
    """Return the row of a new key and the key itself, which nobody can read again.

    Raises InvalidRequestError.
    """
    granted = [scope.value for scope in Scope if scope in set(scopes)]
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidRequestError(
            f"{name[:80]!r} is no name of a key: use up to 64 letters, digits, spaces and ._@-, "
            "beginning with a letter or a digit."
        )
    if not granted:
        raise InvalidRequestError(f"A key needs at least one scope of {', '.join(Scope)}.")
    if expires_in_days is not None and not 1 <= expires_in_days <= LONGEST_LIFE_DAYS:
        raise InvalidRequestError(f"A key lives from 1 to {LONGEST_LIFE_DAYS} days.")
    now = utc_now()
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = ApiKey(
        id=secrets.token_hex(_ID_BYTES),
        name=name,
        scopes=granted,
        secret_sha256=_hash(secret),
        created_at=now,
        expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
    )
    session.add(key)
    session.flush()
    return key, f"{_PREFIX}_{key.id}_{secret}"


def read_key(text: str) -> PresentedKey | None:
    """Return the parts of a key, or None where the text is none."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != _PREFIX or not secret or not key_id:
        return None
    return PresentedKey(key_id, secret)


def is_secret_of(secret: str, secret_sha256: str) -> bool:
    """Compare a secret with a stored hash, in a time that does not depend on where they differ."""
    return hmac.compare_digest(_hash(secret), secret_sha256)


def list_all(session: Session) -> list[ApiKey]:
    """Return all keys, also those that were revoked, oldest first."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)))


def has_usable(session: Session) -> bool:
    """Tell whether any key is neither revoked nor expired."""
    now = utc_now()
    return any(
        key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
        for key in list_all(session)
    )


def revoke(session: Session, key_id: str) -> ApiKey:
    """Let a key be refused from now on; doing it twice is harmless.

    Raises NotFoundError (`key_not_found`).
    """
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFoundError("There is no such API key.", code="key_not_found")
    key.revoked_at = key.revoked_at or utc_now()
    return key


def note_uses(session: Session, used_at: Mapping[str, datetime]) -> None:
    """Keep when keys were last used, by their ids."""
    for key_id, moment in used_at.items():
        is_older = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at < moment)
        session.execute(
            update(ApiKey).where(ApiKey.id == key_id, is_older).values(last_used_at=moment)
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
