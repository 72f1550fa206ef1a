"""Messages of composition of messages."""

from __future__ import annotations

TEXTS = {
    "two_sentences": "{first} {second}",
    "server_message": "{sentence} The server's message: \"{words}\".",
}  # fmt: skip
