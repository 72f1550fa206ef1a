"""All broken setups: how each is made, and the code of its cause, which must be the first recommendation."""

from __future__ import annotations

from urllib.parse import quote

import broken_connections
import broken_databases
import broken_environment
import broken_logins

MODULES = (broken_environment, broken_connections, broken_logins, broken_databases)
SETUPS = {name: setup for module in MODULES for name, setup in module.SETUPS.items()}


def secret_forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as a URL or JSON writes it."""
    import json
    from urllib.parse import quote_plus

    return (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1])
