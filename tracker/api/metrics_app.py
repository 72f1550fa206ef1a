"""GET /metrics: the values in OpenMetrics 1.0 text, for Prometheus and what understands its format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from tracker.api.access import ApiGate
from tracker.api.problems import Problem, send_problem
from tracker.auth.http_responses import Receive, Send, send_body
from tracker.metrics.collector import MetricsCollector
from tracker.single_flight import SingleFlight, wait_for

log = logging.getLogger("tracker.dashboard")
CACHE_S = 5.0
TIMEOUT_S = 9.8
_NOT_READY = Problem(503, "not ready", "The values take longer than 9.8 s. Try again.")
_FAILED = Problem(500, "internal error", "The values can't be read. The dashboard's log has the cause.")
_UNBOUND_ONLY = Problem(403, "token is bound", "A token for one user or property can't read the values of all calls.")


class _Families:
    """A registry of families that were collected before, as `generate_latest` takes it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        return self._families


class MetricsApp:
    """The route's ASGI app. All scrapes of 5 s get the same text."""

    def __init__(self, collector: MetricsCollector, gate: ApiGate, clock: Callable[[], float] | None = None) -> None:
        self._gate = gate
        options = {} if clock is None else {"clock": clock}
        self._text: SingleFlight[bytes] = SingleFlight(
            "tracker-metrics", lambda: _as_text(collector), lambda _: CACHE_S, **options
        )

    async def __call__(self, scope: Mapping[str, Any], _: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        access = self._gate.check(scope)
        if isinstance(access, Problem):
            await send_problem(send, access, head=head)
        elif access.binding is not None:
            await send_problem(send, _UNBOUND_ONLY, head=head)
        else:
            await self._send_values(send, head=head)

    async def _send_values(self, send: Send, *, head: bool) -> None:
        try:
            text = await wait_for(self._text.request(), TIMEOUT_S)
        except Exception as error:
            log.exception("The values of /metrics can't be read: %s.", type(error).__name__)
            await send_problem(send, _FAILED, head=head)
            return
        if text is None:
            await send_problem(send, _NOT_READY, head=head)
        else:
            await send_body(send, 200, text, CONTENT_TYPE_LATEST, head=head)


def _as_text(collector: MetricsCollector) -> bytes:
    text: bytes = generate_latest(_Families(collector.collect()))  # type: ignore[no-untyped-call]
    return text
