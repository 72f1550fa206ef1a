"""Derives ids from the content of rows, so that importing a file again creates no new rows."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tracker.importing.occurrence_counter import OccurrenceCounter

_MAX_MILLISECONDS = 2**48 - 1
_FIRST = (1).to_bytes(8)
# A digit with its two upper bits set to 10, the variant of RFC 9562.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class ContentIds:
    """UUIDs of version 8 (RFC 9562, 5.8): the call's milliseconds, then a digest of its content and occurrence number.

    Equal rows in one file get different ids. Ids begin with the time, so that calls of one time are close in the index.
    """

    def __init__(self) -> None:
        self._occurrences = OccurrenceCounter()

    def derive(self, content: str, created_at: datetime) -> str:
        """The id as 32 hex digits. `content` is a JSON object of the columns' values as texts, by name."""
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
        milliseconds = max(0, int(created_at.timestamp() * 1000)) & _MAX_MILLISECONDS
        # The digest includes the time: one identity at two times is two calls.
        number = self._occurrences.count(milliseconds, digest[:24] + milliseconds.to_bytes(8))
        id_digest = hashlib.sha256(digest + (_FIRST if number == 1 else number.to_bytes(8))).hexdigest()
        return f"{milliseconds:012x}8{id_digest[:3]}{_VARIANT[id_digest[4]]}{id_digest[5:20]}"
