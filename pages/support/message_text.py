"""The library's messages in the user's language: errors, remedies, and report results."""

from __future__ import annotations

from pages.support.i18n import language
from tracker.messages import translation


def translate(text: str) -> str:
    """A message in the user's language. Any other text, such as a command or a name, stays unchanged."""
    return translation.translate(text, language())
