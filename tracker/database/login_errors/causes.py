"""The causes of a refused login. Their sentences and remedies are in `tracker/messages/login_texts.py`."""

from __future__ import annotations

TEMPORARY_CAUSES = frozenset(
    {
        "connect_failed",
        "database_closed",
        "host_unknown",
        "hung_up",
        "pool_exhausted",
        "pooler_behind",
        "pooler_full",
        "provider_down",
        "provider_starting",
        "provider_throttled",
        "refused",
        "session_pool_full",
        "starting",
        "timeout",
        "tls_failed",
        "too_many_connections",
        "unreachable",
        "wrong_role_of_server",
    }
)
"""The causes that may pass by themselves, so that a retry may help."""
