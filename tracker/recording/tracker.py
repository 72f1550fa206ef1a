"""Tracker: records each AI call once and says what became of it."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tracker import settings as settings_module
from tracker.database import driver
from tracker.database.locate import application_name
from tracker.database.pool import ConnectionPool, PoolPolicy, PoolStats
from tracker.database.url import DatabaseUrl, clean
from tracker.errors import DatabaseError, SettingError, SetupError, UsageTypeError
from tracker.recording import log
from tracker.recording.delivery import Attempts, Delivery
from tracker.recording.outcome import Outcome
from tracker.usage import TokenUsage

if TYPE_CHECKING:
    from tracker.recording.calls import Call

ClientT = TypeVar("ClientT")
_warned: set[str] = set()


class Tracker:
    """Records token usage into Postgres: write through, try again what passes, and tell the caller.

    Settings come from the environment (README, "Settings"); each is also a keyword argument, such as
    `Tracker(database_url=…, pool_size=2)`. A variable that can't be read is logged once and its default used; an
    argument that can't be right raises `SettingError`. Threads may share a Tracker, and it survives a fork.

    >>> from tracker import Tracker, TokenUsage
    >>> with Tracker() as recorder:  # doctest: +SKIP
    ...     recorder.record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164)).status
    'recorded'
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings_module.load(strict=False, **settings)
        for problem in self.settings.problems:
            _warn_once(problem)
        self._trouble: DatabaseError | None = None
        self._pool: ConnectionPool | None = None
        self._delivery: Delivery | None = None
        if (url := self._read_url()) is not None:
            self._pool = ConnectionPool(self._connector(url), self._policy())
            self._delivery = Delivery(self._pool, url.schema, self.settings.max_retries)
        self._begin_instance()
        _trackers.add(self)

    def _begin_instance(self) -> None:
        self.instance_id = uuid.uuid4()
        self._sequence = itertools.count(1)

    def _read_url(self) -> DatabaseUrl | None:
        """The database's address; without a readable one every record will say why it failed."""
        remedy = "Set DATABASE_URL to postgresql://user:password@host:5432/database."
        if not self.settings.database_url:
            self._trouble = SetupError("database_url_missing", "DATABASE_URL is not set.", remedy)
        else:
            try:
                return clean(self.settings.database_url, self.settings.database_url_variable)
            except SettingError as error:
                self._trouble = SetupError("database_url_malformed", str(error), "")
        _warn_once(f"Token usage can't be recorded. {self._trouble}")
        return None

    def _connector(self, url: DatabaseUrl) -> Any:
        name = application_name(self.settings.runtime)
        return lambda timeout_s: driver.connect(url, timeout_s=timeout_s, application_name=name)

    def _policy(self) -> PoolPolicy:
        s = self.settings
        return PoolPolicy(s.pool_size, s.connect_timeout_s, s.idle_timeout_s, s.max_lifetime_s)

    def record(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        """Store one call and return what became of it, within `deadline_s` (the setting's unless given).

        Never raises for trouble with the database or the network: that is an outcome. Raises `UsageTypeError` for
        anything but a `TokenUsage`.
        """
        if not isinstance(usage, TokenUsage):
            raise UsageTypeError(f"record takes a TokenUsage, not {type(usage).__name__}.")
        deadline = self._deadline(deadline_s)
        row = self._row(usage)
        attempts = Attempts()
        try:
            new = self._deliver(row, deadline, attempts)
        except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
            problem = error if isinstance(error, DatabaseError) else driver.translate(error)
            outcome = self._outcome("failed", usage, attempts, str(problem))
            log.failed(row, outcome)
            return outcome
        outcome = self._outcome("recorded" if new else "duplicate", usage, attempts)
        if self.settings.log_records:
            log.recorded(row, outcome)
        return outcome

    def _deadline(self, deadline_s: float | None) -> float:
        """The moment on `time.monotonic`; nothing waits longer than a day, since no lock can wait endlessly."""
        return time.monotonic() + min(self.settings.deadline_s if deadline_s is None else deadline_s, 86_400)

    def _deliver(self, row: dict[str, Any], deadline: float, attempts: Attempts) -> bool:
        if self._delivery is None:
            raise self._trouble or AssertionError("without an address there is a reason")
        return self._delivery.deliver(row, deadline, attempts)

    @staticmethod
    def _outcome(status: Any, usage: TokenUsage, attempts: Attempts, error: str | None = None) -> Outcome:
        return Outcome(status, usage.id, attempts.retry_count, attempts.connection_ms, attempts.write_ms, error)

    def _row(self, usage: TokenUsage) -> dict[str, Any]:
        runtime = self.settings.runtime
        return {
            **usage.as_row(),
            "environment": runtime.environment,
            "platform": runtime.platform,
            "region": runtime.region,
            "deployment": runtime.deployment,
            "delivery": "direct",
            "instance_id": self.instance_id,
            "sequence": next(self._sequence),
        }

    def record_many(self, usages: Iterable[TokenUsage], deadline_s: float | None = None) -> list[Outcome]:
        """Record several calls one after another, all within one deadline; an outcome each, in their order."""
        deadline = self._deadline(deadline_s)
        return [self.record(usage, max(0.0, deadline - time.monotonic())) for usage in usages]

    async def arecord(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        """`record`, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.record, usage, deadline_s)

    def record_response(self, response: object, deadline_s: float | None = None, **fields: Any) -> Outcome:
        """Store what a provider's answer used: an object or decoded JSON of google-genai, openai, anthropic or alike.

        Of a stream give the list of its pieces. `fields` are those of `TokenUsage` but for the counts, such as
        `operation` and `user_id`; None is as good as not given. Never raises for an answer: one that isn't understood
        is recorded with model 'unknown' and 0 tokens, and `outcome.error` says so. Raises as `TokenUsage` does for a
        field that can't be right.
        """
        from tracker.recording import calls

        return calls.record_response(self, response, deadline_s, fields)

    async def arecord_response(self, response: object, deadline_s: float | None = None, **fields: Any) -> Outcome:
        """`record_response`, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.record_response, response, deadline_s, **fields)

    def track(self, **fields: Any) -> Call:
        """Time an AI call and record it, its failure too: `with recorder.track(user_id=…) as call:` (or `async with`).

        Set `call.response` to the answer; read a stream from `call.response`. `call.outcome` then says what became of
        it. Raises as `TokenUsage` does for a field that can't be right; what the block raises goes through unchanged.
        """
        from tracker.recording import calls

        return calls.Call(self, calls.checked(fields))

    def wrap(self, client: ClientT, **fields: Any) -> ClientT:
        """Record every call of an official client (google-genai, openai, anthropic; async too), and return it.

        `fields` hold for every call; a `track` block around a call adds its own. Results and exceptions go through
        unchanged. Raises `UsageTypeError` for anything but such a client.
        """
        from tracker.recording import wrapping

        wrapped: ClientT = wrapping.wrap(self, client, fields)
        return wrapped

    def pool_stats(self) -> PoolStats | None:
        """This process's connections at this moment; None without a database address."""
        return self._pool.stats() if self._pool else None

    def close(self) -> None:
        """Close the connections that are idle. The Tracker opens new ones if it is used again."""
        if self._pool:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tracker {self.settings.runtime.platform} instance {self.instance_id}>"


_shared: Tracker | None = None
_shared_lock = threading.Lock()


def shared(**settings: Any) -> Tracker:
    """The process's one Tracker; the first call's settings win."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Tracker(**settings)
        return _shared


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        log.logger.warning("%s", text)


_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for tracker in _trackers:
        # A child is a recording process of its own: it numbers its records anew.
        tracker._begin_instance()  # noqa: SLF001  the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
