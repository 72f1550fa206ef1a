"""What a report is asked about: a range of time and which calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Bucket = Literal["minute", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The calls from `start` up to, not including, `end` (aware datetimes); days are those of `timezone` (IANA).

    None leaves a column unfiltered. Test recordings count only with `include_tests`.
    """

    start: datetime
    end: datetime
    timezone: str = "UTC"
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    user: str | None = None
    environment: str | None = None
    include_tests: bool = False

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a report's range needs aware datetimes")
        if self.end < self.start:
            raise ValueError("a report's range must not end before it starts")

    @property
    def bucket(self) -> Bucket:
        """The step that draws this range with some 20 to 120 points."""
        hours = (self.end - self.start).total_seconds() / 3600
        steps: tuple[tuple[float, Bucket], ...] = (
            (2.5, "minute"),
            (80, "hour"),
            (24 * 130, "day"),
            (24 * 900, "week"),
        )
        return next((bucket for limit, bucket in steps if hours <= limit), "month")

    def parameters(self) -> dict[str, object]:
        """The bound parameters of the questions."""
        return {
            "start": self.start,
            "end": self.end,
            "timezone": self.timezone,
            "bucket": self.bucket,
            "model": self.model,
            "provider": self.provider,
            "operation": self.operation,
            "user": self.user,
            "environment": self.environment,
            "include_tests": self.include_tests,
        }
