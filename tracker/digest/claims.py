"""Claims a digest for one process, and stores that it was sent."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from tracker.audit.table_rights import read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote
from tracker.digest.schedule import DigestDays
from tracker.errors import SetupError
from tracker.messages import Message

DIGESTS = "token_tracker_digests"
LEASE = timedelta(minutes=5)
"""A claim without a sent digest expires after this time: the process ended, or its channel failed."""
_NEEDED = ("SELECT", "INSERT", "UPDATE")


def is_sent(connection: Connection, schema: str, days: DigestDays, channel_url: str) -> bool:
    """Whether the digest was sent to this channel.

    Raises `DatabaseError`, `SetupError` if the table is missing or this role may not write it.
    """
    _require_writable(connection, schema)
    query = f"SELECT 1 FROM {quote(schema)}.{DIGESTS} WHERE (period, first_day, channel) = (%s, %s, %s)"  # noqa: S608
    _, rows = execute(connection, f"{query} AND sent_at IS NOT NULL", _key(days, channel_url))
    return bool(rows)


def claim(connection: Connection, schema: str, days: DigestDays, channel_url: str) -> bool:
    """Whether this process sends the digest to this channel now: nobody sent it, and nobody else has a valid claim.

    Raises `DatabaseError`.
    """
    table = f"{quote(schema)}.{DIGESTS}"
    _, rows = execute(
        connection,
        f"INSERT INTO {table} AS claims (period, first_day, channel) VALUES (%s, %s, %s)"  # noqa: S608
        " ON CONFLICT (period, first_day, channel) DO UPDATE SET claimed_at = now()"
        " WHERE claims.sent_at IS NULL AND claims.claimed_at < now() - CAST(%s AS interval) RETURNING 1",
        (*_key(days, channel_url), LEASE),
    )
    return bool(rows)


def _require_writable(connection: Connection, schema: str) -> None:
    rights = read_rights(connection, schema, [DIGESTS])
    if not rights.exists(DIGESTS):
        raise SetupError("digests_missing", Message("digest.table_missing"), Message("digest.table_missing.remedy"))
    rights.require_writes()
    if not rights.allows(DIGESTS, _NEEDED):
        raise SetupError("right_missing", Message("digest.not_writable"), rights.grant(DIGESTS, _NEEDED), "42501")


def mark_sent(connection: Connection, schema: str, days: DigestDays, channel_url: str) -> None:
    """Store that the digest was sent to this channel. Raises `DatabaseError`."""
    execute(
        connection,
        f"UPDATE {quote(schema)}.{DIGESTS} SET sent_at = now()"  # noqa: S608
        " WHERE (period, first_day, channel) = (%s, %s, %s)",
        _key(days, channel_url),
    )


def _key(days: DigestDays, channel_url: str) -> tuple[str, object, str]:
    # The URL contains a secret, so a hash identifies the channel. The days of two time zones are two digests.
    text = f"{days.timezone}\n{channel_url}".encode("utf-8", "surrogateescape")
    return days.period, days.first_day, hashlib.sha256(text).hexdigest()[:32]
