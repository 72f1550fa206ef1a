"""Who may read or write what isn't for everybody: the debug report and the traces' route."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from tracker.auth.client_address import headers, is_local
from tracker.auth.origin_check import is_of_another_site
from tracker.settings import Settings


def is_authorized(scope: Mapping[str, Any], settings: Settings) -> bool:
    """Whether an ASGI request may pass.

    With TRACKER_DEBUG_TOKEN set: who sends it as `Authorization: Bearer …`. Without: nobody where the runtime is a
    deployed one, and on one's own machine only a direct peer on the loopback that also asks for the loopback's name,
    so that neither a proxy's guests nor a page of another origin come in. A token or a TRACKER_PLATFORM that can't be
    read counts as set: then nobody, or nobody without a token.
    """
    if settings.is_unreadable("TRACKER_DEBUG_TOKEN"):
        return False
    if settings.debug_token:
        # As the bytes that came: a header is latin-1 to the server, whatever its sender meant.
        scheme, _, given = headers(scope).get("authorization", "").encode("latin-1").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            given.strip(), settings.debug_token.strip().encode("utf-8", "surrogateescape")
        )
    deployed = settings.runtime.deployed or settings.is_unreadable("TRACKER_PLATFORM")
    return not deployed and is_local(scope) and not is_of_another_site(scope)
