"""Begins a call: finds the outer call that observes it too, and the fields that it gets from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tracker.recording.capture import deferred_finish
from tracker.recording.capture.call_state import CallState
from tracker.recording.capture.inherited_fields import inherit_fields
from tracker.recording.capture.streams import current

if TYPE_CHECKING:
    from tracker.recording.tracker import Tracker

# LiteLLM sends its request right after its callback; before the first request of a process it creates a client.
_MAX_LITELLM_START_S = 10.0


def begin_call(
    recorder: Tracker, fields: Mapping[str, Any], detected: Mapping[str, Any] = MappingProxyType({}), *, source: str
) -> CallState:
    """A call that starts in this context; it gets the user, session, operation, and metadata of its outer call."""
    if deferred_finish.queue and not deferred_finish.in_finalizer():
        deferred_finish.wake()
    outer = find_outer_call(recorder, source)
    given, detected = ({n: value for n, value in each.items() if value is not None} for each in (fields, detected))
    if outer is not None:
        from_block = outer.source == "block"
        given = inherit_fields(given, outer.fields, from_block=from_block)
        detected = inherit_fields(detected, outer.detected, from_block=from_block)
    return CallState(recorder, given, outer, source=source, detected=detected)


def find_outer_call(recorder: Tracker, source: str) -> CallState | None:
    """The outer call of this one: the nearest open call of another source that has no inner call yet."""
    call: CallState | None = current.get()
    while call is not None:
        has_inner = call.source != "block" and any(
            inner.source == source and not inner.observation.failed for inner in call.inner
        )
        is_open = not call.done and call.accepts_inner and call.source not in {"client", source}
        if is_open and call.recorder is recorder and not has_inner and not _is_stale(call):
            return call
        call = call.outer
    return None


def _is_stale(call: CallState) -> bool:
    """Whether LiteLLM's request has ended although its callback has not been called yet."""
    return call.source == "litellm" and time.monotonic() - call.started_s > _MAX_LITELLM_START_S
