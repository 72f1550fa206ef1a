"""What became of a record."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from tracker.immutable import Immutable

Status = Literal["recorded", "duplicate", "queued", "failed"]


class Outcome(Immutable):
    """The answer to `record`.

    *recorded*: committed in Postgres. *duplicate*: a row with that id was there already. *queued*: durable in the
    local outbox; delivery goes on by itself. *failed*: neither; the whole record is one JSON line in the log, and an
    alert is out. `retry_count` counts the attempts after the first, `connection_ms` is the time to get a usable
    connection, `write_ms` that of the insert, both of the last attempt; None where it didn't come to that. `error`
    says what went wrong and what to do, without the driver's text.
    """

    status: Status
    id: UUID
    retry_count: int
    connection_ms: float | None
    write_ms: float | None
    error: str | None
    __slots__ = tuple(__annotations__)

    def __init__(
        self,
        status: Status,
        id: UUID,  # noqa: A002  the column's name
        retry_count: int = 0,
        connection_ms: float | None = None,
        write_ms: float | None = None,
        error: str | None = None,
    ) -> None:
        self._set(locals())

    @property
    def stored(self) -> bool:
        """Whether the record is in Postgres."""
        return self.status in {"recorded", "duplicate"}

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON types."""
        return {**self._values(), "id": str(self.id)}
