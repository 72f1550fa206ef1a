"""Whether a reader of the dashboard may change what the database stores, such as saved views."""

from __future__ import annotations

from tracker.auth.access_policy import Policy
from tracker.settings import Settings


def may_write(policy: Policy, settings: Settings) -> bool:
    """True with a sign-in, on the local machine, or with TRACKER_DASHBOARD_WRITE=true. The database role may still
    refuse the write.
    """
    return policy.kind != "open" or settings.dashboard_write
