"""The ids of sample rows: UUIDs of version 8 in one fixed range, so that the id alone identifies a sample row.

No other id is in this range: recorders create ids of version 7, and the ids of version 8 that an import derives start
with the time of the call, which the range exceeds.
"""

from __future__ import annotations

from uuid import UUID

_NAMESPACE = "f3a90917-f800-87fc"
FIRST_ID = UUID(f"{_NAMESPACE}-8000-000000000000")
LAST_ID = UUID(f"{_NAMESPACE}-bfff-ffffffffffff")
IS_SAMPLE_ID = f"(id >= '{FIRST_ID}' AND id <= '{LAST_ID}')"
"""The SQL condition for the id of a sample row; the primary key's index answers it."""
# A row of the first versions, which had random ids. `IS_SAMPLE` is the condition `call_is_sample` of the SQL files.
_IS_OUTDATED = (
    "(deployment = 'sample' AND platform = 'vercel' AND instance_id IS NULL AND delivery IS NULL"
    """ AND substr(id::text, 15, 1) = '7' AND metadata::text = '{"sample": true}') IS TRUE"""
)
IS_SAMPLE = f"({IS_SAMPLE_ID} OR {_IS_OUTDATED})"
"""The SQL condition for a sample row of any version."""


def sample_id(kind: int, hour: int, number: int) -> UUID:
    """The id of the row `number` of an hour (hours since the epoch). `kind`, 0 to 63, separates kinds of ids."""
    return UUID(int=FIRST_ID.int | kind << 56 | hour << 32 | number)
