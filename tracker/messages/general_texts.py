"""Texts that combine messages."""

from __future__ import annotations

TEXTS = {
    "two_sentences": "{first} {second}",
    "both": "{first} and {second}",
    "either": "{first} or {second}",
    "list": "{first}, {second}",
    "statements": "{first}; {second}",
    "server_message": "{sentence} The server's message: \"{words}\".",
}  # fmt: skip
