"""The cursor of a page of calls: where the next page starts, and of which request it is."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tracker.api.parameters import FIRST_TIME, LAST_TIME
from tracker.api.problems import ProblemError
from tracker.auth.api_tokens import Binding
from tracker.reports.ai_calls.call_log import Position

_INVALID = "The cursor is not one of this route. Start without a cursor."
_OTHER_REQUEST = "The cursor is of another request. Repeat the parameters of the first page, or start without a cursor."


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The last call of a page, and the range that the first page had."""

    position: Position
    start: datetime
    end: datetime


def encode_cursor(cursor: PageCursor, parameters: Mapping[str, str], binding: Binding | None) -> str:
    """The cursor as text of the characters A–Z, a–z, 0–9, - and _."""
    position = cursor.position
    content = [
        position.created_at.astimezone(UTC).isoformat(),
        position.id,
        cursor.start.astimezone(UTC).isoformat(),
        cursor.end.astimezone(UTC).isoformat(),
        _digest(parameters, binding),
    ]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def decode_cursor(text: str, parameters: Mapping[str, str], binding: Binding | None) -> PageCursor:
    """The cursor of a request with these parameters. Raises `ProblemError` for another text or request."""
    try:
        content = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        created_at, id_, start, end, digest = content
        times = [datetime.fromisoformat(value).astimezone(UTC) for value in (created_at, start, end)]
        position = Position(times[0], str(UUID(id_)))
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ProblemError(400, "invalid cursor", _INVALID) from None
    if not FIRST_TIME <= times[1] <= times[0] <= times[2] <= LAST_TIME:
        raise ProblemError(400, "invalid cursor", _INVALID)
    if digest != _digest(parameters, binding):
        raise ProblemError(400, "invalid cursor", _OTHER_REQUEST)
    return PageCursor(position, times[1], times[2])


def _digest(parameters: Mapping[str, str], binding: Binding | None) -> str:
    """A digest of what selects the calls: the parameters, and what the token is limited to."""
    selecting = {name: value for name, value in parameters.items() if name not in {"cursor", "limit"}}
    bound = None if binding is None else [binding.dimension, binding.value]
    text = json.dumps([sorted(selecting.items()), bound], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
