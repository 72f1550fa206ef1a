"""Texts that several areas share: of files, and those that combine messages."""

from __future__ import annotations

TEXTS = {
    "file.not_regular": "{label}: {path} is not a regular file.",
    "file.unreadable": "{label}: {path} can't be read: {words}.",
    "file.not_a_path": "{label}: {path} is not a file path.",
    "file.too_large": "{label}: {path} is larger than {bytes} bytes.",
    "file.not_utf8": "{label}: {path} is not UTF-8 text.",
    "file.not_toml": "{label} is not TOML: {words}.",
    "file.too_deep": "{label} can't be read: it is nested too deeply.",
    "file.number_unreadable": "{label} can't be read: it has a number that can't be read.",
    "two_sentences": "{first} {second}",
    "both": "{first} and {second}",
    "either": "{first} or {second}",
    "list": "{first}, {second}",
    "list_entry": "- {text}",
    "statements": "{first}; {second}",
    "server_message": "{sentence} The server's message: \"{words}\".",
}  # fmt: skip
