"""Authorization of the debug report and the OTLP routes."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from tracker.auth.client_address import is_local, request_headers
from tracker.auth.origin_check import is_cross_site_request
from tracker.settings import Settings


def is_authorized(scope: Mapping[str, Any], settings: Settings) -> bool:
    """Whether an ASGI request may use the debug report or an OTLP route.

    With TRACKER_DEBUG_TOKEN: requests with `Authorization: Bearer …` and this token. Without: none on a deployed
    runtime; elsewhere requests of this machine that come through no proxy and from no page of another site. An
    unreadable token refuses every request. An unreadable TRACKER_PLATFORM counts as deployed.
    """
    if settings.is_unreadable("TRACKER_DEBUG_TOKEN"):
        return False
    if settings.debug_token:
        # Compare bytes: the server decodes a header as latin-1, whatever encoding the client used.
        scheme, _, token = request_headers(scope).get("authorization", "").encode("latin-1").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            token.strip(), settings.debug_token.strip().encode("utf-8", "surrogateescape")
        )
    return is_from_this_machine(scope, settings)


def is_from_this_machine(scope: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a request comes from this machine, through no proxy and from no page of another site.

    On a deployed runtime, where a proxy may leave no trace, no request does.
    """
    deployed = settings.runtime.deployed or settings.is_unreadable("TRACKER_PLATFORM")
    return not deployed and is_local(scope) and not is_cross_site_request(scope)
