"""The OTLP intake as an ASGI app under its documented name, `tracker.traces:app`; the code is in `tracker.otlp.app`."""

from __future__ import annotations

from tracker.otlp.app import MAX_BODY_BYTES, MAX_SPANS, MAX_UNPACKED_BYTES, TracesApp, app

__all__ = ["MAX_BODY_BYTES", "MAX_SPANS", "MAX_UNPACKED_BYTES", "TracesApp", "app"]
