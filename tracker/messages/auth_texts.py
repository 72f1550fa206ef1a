"""Messages of access to the dashboard."""

from __future__ import annotations

TEXTS = {
    "secrets_unreadable": "The secrets can't be read: .streamlit/secrets.toml is not valid TOML.",
    "auth_section_invalid": "The section [auth] in .streamlit/secrets.toml is not a TOML table.",
    "cross_site_refused": "This request comes from a page of another site. A reverse proxy in front of the dashboard"
    " must forward the Host header unchanged.",
    "host_not_allowed": "The host name {host} is not allowed. If it is the name of this dashboard, add it to"
    " server.allowedHosts in .streamlit/config.toml.",
    "password_hash_invalid": "TRACKER_DASHBOARD_PASSWORD_HASH is not a password hash. Create one with token-tracker"
    " password.",
    "access_setting_unreadable": "{variable} can't be read; it may hold {allowed}.",
    "changes_refused": "This dashboard does not allow changes of prices and budgets, so nothing was changed.",
    "link_incomplete": "The link is incomplete. Open the page and use its export button.",
    "link_changed": "The link was changed, or made by another server. Open the page and use its export button.",
    "link_expired": "The link has expired; it is valid for {minutes} minutes. Reload the page and export again.",
    "link_empty": "The link contains no filters. Open the page and use its export button.",
}  # fmt: skip
