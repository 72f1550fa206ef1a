"""Messages of access to the dashboard."""

from __future__ import annotations

TEXTS = {
    "host_not_allowed": "The host name {host} is not allowed. If it is the name of this dashboard, add it to"
    " server.allowedHosts in .streamlit/config.toml.",
    "password_hash_invalid": "TRACKER_DASHBOARD_PASSWORD_HASH is not a password hash. Create one with token-tracker"
    " password.",
    "access_setting_unreadable": "{variable} can't be read; it may hold {allowed}.",
    "changes_refused": "This dashboard does not allow changes of prices and budgets, so nothing was changed.",
}  # fmt: skip
