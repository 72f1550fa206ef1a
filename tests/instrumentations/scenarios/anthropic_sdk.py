"""The Anthropic SDK's own spans, without an instrumentation."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "anthropic"
PACKAGES = ()
SCENARIOS = _calls.ANTHROPIC


def setup(c: Any) -> None:
    c.provider()  # the SDK emits spans by itself when a tracer provider is set
