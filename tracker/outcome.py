"""The result of recording one call."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from tracker.immutable import Immutable

Status = Literal["recorded", "duplicate", "queued", "failed"]


class Outcome(Immutable):
    """The result of `record`.

    *recorded*: committed in Postgres. *duplicate*: a row with that id exists already. *queued*: durable in the local
    outbox, which is delivered automatically. *failed*: neither; the log contains the whole record as one JSON line,
    and an alert was sent. `retry_count` counts the attempts after the first. `connection_ms` is the time to get a
    usable connection and `write_ms` the time of the insert, both of the last attempt; None if the attempt ended
    earlier. `error` describes the failure and its remedy, without the driver's text.
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
        """Whether Postgres contains the record."""
        return self.status in {"recorded", "duplicate"}

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON types."""
        return {**self._values(), "id": str(self.id)}
