"""Tracker: records each AI call once and says what became of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tracker import settings as settings_module
from tracker.database import connect
from tracker.database.pool import ConnectionPool, PoolPolicy, PoolStats
from tracker.database.url import DatabaseUrl, clean
from tracker.errors import OutboxError, SettingError, SetupError, UsageTypeError
from tracker.outcome import Outcome
from tracker.platforms import application_name
from tracker.recording import lifecycle, record_log
from tracker.recording.async_call import in_thread
from tracker.recording.circuit_breaker import CircuitBreaker
from tracker.recording.direct_writer import DirectWriter
from tracker.recording.instance import Instance
from tracker.recording.outbox.paths import has_pending, with_absolute_path
from tracker.recording.retry import Delivery
from tracker.threads import fork_guard
from tracker.usage import TokenUsage

if TYPE_CHECKING:
    from tracker.recording.capture.call import Call
    from tracker.recording.outbox.queue import OutboxQueue
    from tracker.recording.outbox.store import OutboxDepth

ClientT = TypeVar("ClientT")
_REMEDY = "Set DATABASE_URL to postgresql://user:password@host:5432/database."
_EMBEDDED = "To deliver records to this machine's embedded database: token-tracker outbox drain --embedded."
_CLOSING_NOTE_S = 2.0
# How long the record of an interrupted call waits for an outbox that another process holds locked.
_INTERRUPTED_S = 0.2


class Tracker:
    """Records token usage into Postgres, each call once, and tells the caller what became of it.

    In *direct* mode (default on serverless) `record` writes before it returns and tries again what passes; in
    *background* mode it makes the record durable in the local outbox and returns, and a thread delivers. Settings
    come from the environment (README, "Settings"); each is also a keyword argument, such as
    `Tracker(database_url=…, pool_size=2)`. A variable that can't be read is logged once and its default used; an
    argument that can't be right raises `SettingError`. Threads may share a Tracker, and it survives a fork.

    >>> from tracker import Tracker, TokenUsage
    >>> with Tracker(mode="direct") as recorder:  # doctest: +SKIP
    ...     recorder.record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164)).status
    'recorded'
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = with_absolute_path(settings_module.load(strict=False, **settings))
        for problem in self.settings.problems:
            record_log.warn_once(problem)
        self._url, trouble = self._read_url()
        self._pool = self._make_pool(self._url) if self._url else None
        self._delivery = (
            Delivery(self._pool, self._url.schema, self.settings.max_retries) if self._pool and self._url else None
        )
        runtime = self.settings.runtime
        self._breaker = CircuitBreaker()
        self._queue: OutboxQueue | None = None
        self._instance = Instance(runtime)
        self._direct = DirectWriter(
            self._delivery,
            trouble,
            self._breaker,
            self._get_queue,
            lambda: self._queue,
            disk_dies=runtime.serverless,
        )
        self._adopt()
        lifecycle.watch(self)

    @property
    def instance_id(self) -> Any:
        """The id of this recording process, as its rows carry it."""
        return self._instance.id

    def _read_url(self) -> tuple[DatabaseUrl | None, SetupError | None]:
        """The database's address; without a readable one every record will say why it isn't recorded."""
        try:
            if self.settings.database_url:
                return clean(self.settings.database_url, self.settings.database_url_variable), None
            remedy = _REMEDY if self.settings.runtime.deployed else f"{_REMEDY} {_EMBEDDED}"
            trouble = SetupError("database_url_missing", "DATABASE_URL is not set.", remedy)
        except SettingError as error:
            trouble = SetupError("database_url_malformed", str(error), "")
        record_log.warn_once(f"Token usage can't be recorded yet and waits in the outbox. {trouble}")
        return None, trouble

    def _make_pool(self, url: DatabaseUrl) -> ConnectionPool:
        s = self.settings
        name = application_name(s.runtime)
        policy = PoolPolicy(s.pool_size, s.connect_timeout_s, s.idle_timeout_s, s.max_lifetime_s)
        return ConnectionPool(lambda t: connect.connect(url, timeout_s=t, application_name=name), policy)

    def _get_queue(self) -> OutboxQueue:
        """The outbox and what belongs to it: made when first needed, since it costs a cold start."""
        if self._queue is None:
            with fork_guard.importing:
                from tracker.recording.outbox.queue import OutboxQueue

            made = OutboxQueue(self.settings, self._url, self._delivery, self._breaker, self, self._instance)
            # One step instead of a lock, which an interrupted call would keep: of two made at once, one is used.
            self._queue = self.__dict__.setdefault("_new_queue", made)
        return self._queue

    def _adopt(self) -> None:
        """See to what an earlier process left behind."""
        if self._delivery is None:
            return
        if has_pending(self.settings, self._url):
            self._direct.behind = True
            self._get_queue().wake()

    def record(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        """Record one call and return what became of it, within `deadline_s` (the setting's unless given).

        Never raises for trouble with the database, the network or the disk: that is an outcome. Raises
        `UsageTypeError` for anything but a `TokenUsage`.
        """
        try:
            taken: list[int] = []
            outcome: Outcome | None = None
            started = time.perf_counter()
            outcome = self._record(_check(usage), self._deadline(deadline_s), taken)
            self._log(usage, outcome, started)
        except UsageTypeError:
            raise
        except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
            return self._unforeseen(usage, error, taken)
        except BaseException:
            # What a signal handler raises reaches the host, and the record isn't lost; it may come before any name.
            if locals().get("outcome") is None:
                self._interrupted(usage, locals().get("taken", []))
            raise
        return outcome

    def _log(self, usage: TokenUsage, outcome: Outcome, started: float) -> None:
        with suppress(Exception):  # a handler or filter of the host's own log may raise anything
            if self.settings.log_records and outcome.status != "failed":
                record_log.recorded(usage, outcome)
            record_log.notable(
                usage, outcome, connect.elapsed_ms(started), self.settings.slow_record_ms, self._instance.place
            )

    def _record(self, usage: TokenUsage, deadline: float, taken: list[int]) -> Outcome:
        if self.settings.mode == "background":
            return self._take(usage, deadline, taken)
        return self._direct.write(self._row(usage, taken), deadline)

    def _row(self, usage: TokenUsage, taken: list[int]) -> dict[str, Any]:
        return {**self._instance.row(usage, "direct"), "sequence": self._instance.assign_sequence(taken)}

    def _unforeseen(self, usage: TokenUsage, error: Exception, taken: list[int]) -> Outcome:
        """What no part of ours has an answer to: the record is kept in the log at least."""
        sentence = f"Recording failed with {type(error).__name__}; the record is in the log."
        record_log.log_full_record("failed", self._row(usage, taken), sentence, 0)
        return Outcome("failed", usage.id, error=sentence)

    def _interrupted(self, usage: TokenUsage, taken: list[int]) -> None:
        """Queue the record of a call that was interrupted; twice the same one is one. Else it is in the log."""
        row = self._row(usage, taken)
        try:
            self._get_queue().enqueue(row, _INTERRUPTED_S)
            self._direct.behind = True
        except Exception as error:  # noqa: BLE001  the interruption is what the host must see
            sentence = f"Recording was interrupted, and the record could not be queued ({type(error).__name__})."
            record_log.log_full_record("failed", row, sentence, 0)

    def _take(self, usage: TokenUsage, deadline: float, taken: list[int]) -> Outcome:
        queue = self._queue or self._get_queue()
        row = self._instance.row(usage, "background")
        try:
            queue.assign_sequence_and_enqueue(row, taken, deadline)
        except OutboxError as error:
            # Slower than promised, but not lost. The line in the log is for a process that ends meanwhile.
            row["delivery"] = "direct"
            queue.notices.alert(error.code, str(error), record_id=str(usage.id))
            record_log.log_full_record("unqueued", row, str(error), 0)
            return self._direct.write(row, deadline)
        return Outcome("queued", usage.id)

    def _deadline(self, deadline_s: float | None) -> float:
        """The moment on `time.monotonic`; nothing waits longer than a day, since no lock can wait endlessly."""
        seconds = self.settings.deadline_s if deadline_s is None else deadline_s
        return time.monotonic() + (min(seconds, 86_400) if seconds >= 0 else 0.0)  # NaN isn't

    def record_many(self, usages: Iterable[TokenUsage], deadline_s: float | None = None) -> list[Outcome]:
        """Record several calls one after another, all within one deadline; an outcome each, in their order.

        Raises `UsageTypeError`, before any is recorded, when one of them isn't a `TokenUsage`.
        """
        deadline = self._deadline(deadline_s)
        checked = [_check(usage) for usage in usages]
        return [self.record(usage, max(0.0, deadline - time.monotonic())) for usage in checked]

    def arecord(self, usage: TokenUsage, deadline_s: float | None = None) -> Coroutine[Any, Any, Outcome]:
        """`record`, without blocking the event loop: `outcome = await recorder.arecord(usage)`.

        The record is handed to a thread at once, so that a task that is cancelled, even before its first step, loses
        no record.
        """
        return in_thread(self.record, _check(usage), deadline_s)

    def flush(self, timeout_s: float | None = None) -> int:
        """Deliver what waits in the outbox, for so long (the record's deadline unless told); how many still wait."""
        self._record_captured()
        if self._queue is None and not self._direct.behind:
            return 0
        return self._get_queue().flush(self.settings.deadline_s if timeout_s is None else timeout_s)

    def outbox_depth(self) -> OutboxDepth:
        """How much waits in this Tracker's outbox, and how much was set aside."""
        return self._get_queue().depth()

    def record_response(self, response: object, deadline_s: float | None = None, **fields: Any) -> Outcome:
        """Store what a provider's answer used: an object or decoded JSON of google-genai, openai, anthropic or alike.

        Of a stream give the list of its pieces. `fields` are those of `TokenUsage` but for the counts, such as
        `operation` and `user_id`; None is as good as not given. Never raises for an answer: one that isn't understood
        is recorded with model 'unknown' and 0 tokens, and `outcome.error` says so. Raises as `TokenUsage` does for a
        field that can't be right.
        """
        with fork_guard.importing:
            from tracker.recording.capture import call

        return call.record_response(self, response, deadline_s, fields)

    def arecord_response(
        self, response: object, deadline_s: float | None = None, **fields: Any
    ) -> Coroutine[Any, Any, Outcome]:
        """`record_response`, without blocking the event loop; handed to a thread at once, as `arecord` does."""
        return in_thread(self.record_response, response, deadline_s, **fields)

    def track(self, **fields: Any) -> Call:
        """Time an AI call and record it, its failure too: `with recorder.track(user_id=…) as call:` (or `async with`).

        Set `call.response` to the answer; read a stream from `call.response`. `call.outcome` then says what became of
        it. Raises as `TokenUsage` does for a field that can't be right; what the block raises goes through unchanged.
        """
        with fork_guard.importing:
            from tracker.recording.capture import call

        return call.Call(self, call.checked(fields))

    def wrap(self, client: ClientT, **fields: Any) -> ClientT:
        """Record every call of an official client (google-genai, openai, anthropic; async too), and return it.

        `fields` hold for every call; a `track` block around a call adds its own. Results and exceptions go through
        unchanged. Raises `UsageTypeError` for anything but such a client.
        """
        with fork_guard.importing:
            from tracker.recording.capture.wrap import wrap

        wrapped: ClientT = wrap(self, client, fields)
        return wrapped

    def pool_stats(self) -> PoolStats | None:
        """This process's connections at this moment; None without a database address."""
        return self._pool.stats() if self._pool else None

    def close(self) -> None:
        """Deliver what waits, within the record's deadline, report the last number to the ledger, close connections.

        The Tracker opens again if it is used again.
        """
        self._close(self.settings.deadline_s)

    def _close(self, timeout_s: float) -> None:
        self._record_captured(ending=True)
        queue = self._queue
        taken = queue.taken if queue else 0
        left = queue.flush(timeout_s, ending=True) if queue else 0
        note_s = min(timeout_s, _CLOSING_NOTE_S)
        lifecycle.report_last_sequence(self._instance, self._delivery, self._get_queue, 0.0 if left else note_s)
        if self._queue is not None:
            self._queue.close(alerts_timeout_s=note_s)
        if self._pool:
            self._pool.close()
        if queue and queue.taken != taken:
            queue.wake()  # records came meanwhile

    def _record_captured(self, *, ending: bool = False) -> None:
        """Record abandoned streams and, at the end, calls without an end and responses that were never retrieved."""
        modules = sys.modules  # a process that captured no call has imported none of these
        if (abandoned := modules.get("tracker.recording.capture.deferred_finish")) is not None:
            abandoned.record_abandoned()
            if ending:
                abandoned.give_up_at_close(self)
        if ending and (later := modules.get("tracker.recording.capture.background_responses")) is not None:
            later.record_never_retrieved(self)

    def _after_fork(self) -> None:
        """A child is a recording process of its own: it numbers its records anew."""
        self._instance = Instance(self.settings.runtime)
        self._breaker.reset()
        if self._queue is not None:
            self._queue.after_fork(self._instance)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tracker {self.settings.mode} {self.settings.runtime.platform} instance {self.instance_id}>"


def _check(usage: TokenUsage) -> TokenUsage:
    if not isinstance(usage, TokenUsage):
        raise UsageTypeError(f"record takes a TokenUsage, not {type(usage).__name__}.")
    return usage


_shared: Tracker | None = None
_shared_lock = threading.Lock()


def shared(**settings: Any) -> Tracker:
    """The process's one Tracker; the first call's settings win."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Tracker(**settings)
        return _shared


def shared_pool() -> PoolStats | None:
    """The connections of the process's shared Tracker; None while there is none, and none is made."""
    return _shared.pool_stats() if _shared is not None else None


def _after_fork_in_child() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
