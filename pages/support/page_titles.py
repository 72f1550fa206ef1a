"""The titles of the pages, by the name of their file."""

from __future__ import annotations

from pages.support.i18n import _


def page_titles() -> dict[str, str]:
    """The title of each page in the user's language."""
    return {
        "overview": _("Overview"),
        "explorer": _("Explorer"),
        "latency": _("Latency and errors"),
        "calls": _("Calls"),
        "ai_sessions": _("AI sessions"),
        "what_if": _("What-if costs"),
        "connections": _("Connections"),
        "performance": _("Performance"),
        "environment": _("Environment"),
        "prices": _("Prices and budgets"),
        "recordings": _("Test recordings"),
    }
