"""The access rule of each route. A path without a rule is refused, so that a new route is never open by accident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Rule = Literal["public", "debug_token", "api_token", "usage_token", "sign_in", "page", "signed_link"]
"""Who may use a route.

*public*: everyone. *debug_token*, *api_token*: clients that send TRACKER_DEBUG_TOKEN; the route checks it
(`tracker.auth.route_access`). *usage_token*: clients that send a token of TRACKER_API_TOKENS or a signed one; the route
checks it (`tracker.api.access`). *sign_in*: requests that the policy allows; refused with `st.login`, whose login only
a page can check. *page*: the pages and Streamlit's files; with `st.login` the page checks the login. *signed_link*: as
*page*, and the route verifies the link's signature (`tracker.auth.signed_links`).
"""

# These paths have no base path, so that a client needs only the host name.
API_RULES: Mapping[str, Rule] = {
    "/api/health": "public",
    "/api/debug/token-tracking": "debug_token",
    "/v1/traces": "api_token",
    "/v1/metrics": "api_token",
    "/v1/logs": "api_token",
    "/metrics": "usage_token",
    "/api/usage": "usage_token",
    "/api/usage/records": "usage_token",
    "/api/openapi.json": "usage_token",
}
# These paths are below the server's base path. A pattern with a final * matches every longer path.
PAGE_RULES: Mapping[str, Rule] = {
    "/_stcore/health": "public",
    "/_stcore/metrics": "sign_in",
    "/_stcore/script-health-check": "sign_in",
    "/_stcore/agent/*": "sign_in",
    "/_stcore/host-config": "page",
    "/_stcore/stream": "page",
    "/_stcore/upload_file/*": "page",
    "/_stcore/bidi-components/*": "page",
    "/exports/calls.csv": "signed_link",
    "/": "page",
    "/index.html": "page",
    "/browser.js": "page",
    "/favicon.png": "page",
    "/manifest.json": "page",
    "/static/*": "page",
    "/media/*": "page",
    "/component/*": "page",
    "/app/static/*": "page",
    "/auth/login": "page",
    "/auth/logout": "page",
    "/oauth2callback": "page",
}


@dataclass(frozen=True, slots=True)
class RouteRules:
    """The rules of the API routes, of Streamlit's routes, and of the pages with these names."""

    api: Mapping[str, Rule]
    pages: Mapping[str, Rule]

    def api_rule(self, path: str) -> Rule | None:
        """The rule of a path that includes no base path; None if it is no API route."""
        return self.api.get(path)

    def page_rule(self, path: str) -> Rule | None:
        """The rule of a path below the base path; None if no route has this path."""
        if (rule := self.pages.get(path)) is not None:
            return rule
        if self.pages.get(path.rstrip("/")) == "page":
            return "page"
        patterns = (pattern for pattern in self.pages if pattern.endswith("/*"))
        return next((self.pages[pattern] for pattern in patterns if path.startswith(pattern[:-1])), None)


def route_rules(page_names: Iterable[str]) -> RouteRules:
    """The rules of a dashboard with these pages."""
    pages: dict[str, Rule] = {f"/{name}": "page" for name in page_names}
    return RouteRules(API_RULES, {**PAGE_RULES, **pages})
