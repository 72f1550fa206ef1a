"""Tracker: records each AI call once and returns the outcome."""

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
from tracker.forks import fork_guard
from tracker.messages import Message, join_messages
from tracker.outcome import Outcome
from tracker.platforms import application_name
from tracker.recording import lifecycle, record_log
from tracker.recording.async_call import in_thread
from tracker.recording.circuit_breaker import CircuitBreaker
from tracker.recording.context import ContextBlock, in_current_context
from tracker.recording.direct_writer import DirectWriter
from tracker.recording.instance import Instance
from tracker.recording.outbox.paths import has_pending, with_absolute_path
from tracker.recording.retry import Delivery
from tracker.threads import CHECK_HOLDER_AFTER_S
from tracker.usage import TokenUsage

if TYPE_CHECKING:
    from tracker.recording.capture.call import TrackedCall
    from tracker.recording.outbox.queue import OutboxQueue
    from tracker.recording.outbox.store import OutboxDepth

ClientT = TypeVar("ClientT")
IteratorT = TypeVar("IteratorT")
_NOTE_TIMEOUT_S = 2.0
# How long the record of an interrupted call waits for a locked outbox. The interrupted call may have left the lock
# behind, which is replaced after `CHECK_HOLDER_AFTER_S`.
_INTERRUPTED_LOCK_TIMEOUT_S = 2 * CHECK_HOLDER_AFTER_S


class Tracker:
    """Records token usage into Postgres, each call once, and returns the outcome of each record.

    In *direct* mode (default on serverless) `record` writes before it returns and retries transient errors. In
    *background* mode it makes the record durable in the local outbox and returns, and a thread delivers it. Settings
    come from the environment (README, "Settings"); each is also a keyword argument, such as
    `Tracker(database_url=…, pool_size=2)`. An invalid variable is logged once and its default is used; an invalid
    argument raises `SettingError`. Threads may share a Tracker, and it survives a fork.

    >>> from tracker import Tracker, TokenUsage
    >>> with Tracker(mode="direct") as recorder:  # doctest: +SKIP
    ...     recorder.record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164)).status
    'recorded'
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = with_absolute_path(settings_module.load(strict=False, **settings))
        for problem in self.settings.problems:
            record_log.warn_once(problem)
        self._url, setup_error = self._read_url()
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
            setup_error,
            self._breaker,
            self._get_queue,
            lambda: self._queue,
            disk_is_ephemeral=runtime.serverless,
        )
        self._deliver_pending()
        lifecycle.register(self)

    @property
    def instance_id(self) -> Any:
        """The id of this recording process, as its rows carry it."""
        return self._instance.id

    def _read_url(self) -> tuple[DatabaseUrl | None, SetupError | None]:
        """The database URL; without a valid one, each outcome contains the error that is returned here."""
        try:
            if self.settings.database_url:
                return clean(self.settings.database_url, self.settings.database_url_variable), None
            remedy: str = Message("recording.database_url_missing.remedy")
            if not self.settings.runtime.deployed:
                remedy = join_messages([remedy, Message("recording.drain_to_embedded_database")])
            setup_error = SetupError("database_url_missing", Message("recording.database_url_missing"), remedy)
        except SettingError as error:
            setup_error = SetupError("database_url_malformed", str(error), "")
        record_log.warn_once(f"Token usage can't be recorded yet and is queued in the outbox. {setup_error}")
        return None, setup_error

    def _make_pool(self, url: DatabaseUrl) -> ConnectionPool:
        s = self.settings
        name = application_name(s.runtime)
        policy = PoolPolicy(s.pool_size, s.connect_timeout_s, s.idle_timeout_s, s.max_lifetime_s)
        return ConnectionPool(lambda t: connect.connect(url, timeout_s=t, application_name=name), policy)

    def _get_queue(self) -> OutboxQueue:
        """The outbox queue, which is created at first use because it would slow down a cold start."""
        if self._queue is None:
            with fork_guard.importing:
                from tracker.recording.outbox.queue import OutboxQueue

            queue = OutboxQueue(self.settings, self._url, self._delivery, self._breaker, self, self._instance)
            # Atomic, without a lock that an interrupted call would keep: if two threads create a queue, one is used.
            self._queue = self.__dict__.setdefault("_new_queue", queue)
        return self._queue

    def _deliver_pending(self) -> None:
        """Start delivering the records that an earlier process left in the outbox."""
        if self._delivery is None:
            return
        if has_pending(self.settings, self._url):
            self._direct.has_backlog = True
            self._get_queue().wake()

    def record(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        """Record one call and return its outcome within `deadline_s` (default: the setting).

        Never raises for an error of the database, the network, or the disk: the outcome contains it. Raises
        `UsageTypeError` for anything but a `TokenUsage`.
        """
        try:
            assigned: list[int] = []
            outcome: Outcome | None = None
            started = time.perf_counter()
            usage = in_current_context(_check(usage))
            outcome = self._record(usage, self._deadline(deadline_s), assigned)
            self._log(usage, outcome, started)
        except UsageTypeError:
            raise
        except Exception as error:  # noqa: BLE001  no exception of the library may reach the host's AI call
            return self._handle_unexpected_error(usage, error, assigned)
        except BaseException:
            # The exception of a signal handler reaches the host; the record is queued. It may arise before the first
            # assignment of this function.
            if locals().get("outcome") is None:
                self._queue_interrupted(usage, locals().get("assigned", []))
            raise
        return outcome

    def _log(self, usage: TokenUsage, outcome: Outcome, started: float) -> None:
        """Log a stored or queued record, and a slow one or one with an error; the full record is logged elsewhere."""
        with suppress(Exception):  # a log handler or filter of the host may raise anything
            if self.settings.log_records and outcome.status != "failed":
                record_log.log_recorded(usage, outcome)
            record_log.log_slow_or_error(
                usage, outcome, connect.elapsed_ms(started), self.settings.slow_record_ms, self._instance.runtime_fields
            )

    def _record(self, usage: TokenUsage, deadline: float, assigned: list[int]) -> Outcome:
        if self.settings.mode == "background":
            return self._enqueue(usage, deadline, assigned)
        return self._direct.write(self._row(usage, assigned), deadline)

    def _row(self, usage: TokenUsage, assigned: list[int]) -> dict[str, Any]:
        return {**self._instance.row(usage, "direct"), "sequence": self._instance.assign_sequence(assigned)}

    def _handle_unexpected_error(self, usage: TokenUsage, error: Exception, assigned: list[int]) -> Outcome:
        """Write the record to the log after an error of the library itself."""
        text = Message("recording.recording_failed", error_type=type(error).__name__)
        record_log.log_full_record("failed", self._row(usage, assigned), text, 0)
        return Outcome("failed", usage.id, error=text)

    def _queue_interrupted(self, usage: TokenUsage, assigned: list[int]) -> None:
        """Enqueue the record of an interrupted call, else write it to the log. Enqueueing it twice has no effect."""
        row = self._row(in_current_context(usage), assigned)
        try:
            self._get_queue().enqueue(row, _INTERRUPTED_LOCK_TIMEOUT_S)
            self._direct.has_backlog = True
        except Exception as error:  # noqa: BLE001  the host must see the interruption, not this error
            text = Message("recording.recording_interrupted", error_type=type(error).__name__)
            record_log.log_full_record("failed", row, text, 0)

    def _enqueue(self, usage: TokenUsage, deadline: float, assigned: list[int]) -> Outcome:
        queue = self._queue or self._get_queue()
        row = self._instance.row(usage, "background")
        try:
            queue.assign_sequence_and_enqueue(row, assigned, deadline)
        except OutboxError as error:
            # Written directly, which is slower. The log line preserves the record if the process ends before that.
            row["delivery"] = "direct"
            queue.notices.alert(error.code, str(error), record_id=str(usage.id))
            record_log.log_full_record("unqueued", row, str(error), 0)
            return self._direct.write(row, deadline)
        return Outcome("queued", usage.id)

    def _deadline(self, deadline_s: float | None) -> float:
        """The deadline on `time.monotonic`, at most one day from now, because a lock can't wait without a limit."""
        seconds = self.settings.deadline_s if deadline_s is None else deadline_s
        return time.monotonic() + (min(seconds, 86_400) if seconds >= 0 else 0.0)  # 0 for NaN

    def record_many(self, usages: Iterable[TokenUsage], deadline_s: float | None = None) -> list[Outcome]:
        """Record several calls one after another within one deadline; returns their outcomes in the same order.

        Raises `UsageTypeError`, before anything is recorded, if one of them isn't a `TokenUsage`.
        """
        deadline = self._deadline(deadline_s)
        checked_usages = [_check(usage) for usage in usages]
        return [self.record(usage, max(0.0, deadline - time.monotonic())) for usage in checked_usages]

    def arecord(self, usage: TokenUsage, deadline_s: float | None = None) -> Coroutine[Any, Any, Outcome]:
        """`record`, without blocking the event loop: `outcome = await recorder.arecord(usage)`.

        The record is passed to a thread at once, so that a task that is cancelled, even before its first step, loses
        no record.
        """
        return in_thread(self.record, _check(usage), deadline_s)

    def flush(self, timeout_s: float | None = None) -> int:
        """Deliver the queued records within `timeout_s` (default: the record's deadline); returns how many remain."""
        self._record_captured()
        if self._queue is None and not self._direct.has_backlog:
            return 0
        return self._get_queue().flush(self.settings.deadline_s if timeout_s is None else timeout_s)

    def outbox_depth(self) -> OutboxDepth:
        """The number of queued records and of dead letters in this Tracker's outbox."""
        return self._get_queue().depth()

    def record_response(self, response: object, deadline_s: float | None = None, **fields: Any) -> Outcome:
        """Record the usage of a provider's response: an object or decoded JSON of google-genai, openai, anthropic, etc.

        For a stream, pass the list of its chunks. `fields` are those of `TokenUsage` except for the counts, such as
        `operation` and `user_id`; None means not given. Never raises for a response: one without readable usage is
        recorded with model 'unknown' and 0 tokens, and `outcome.error` describes the problem. Raises as `TokenUsage`
        does for an invalid field.
        """
        with fork_guard.importing:
            from tracker.recording.capture import call

        return call.record_response(self, response, deadline_s, fields)

    def arecord_response(
        self, response: object, deadline_s: float | None = None, **fields: Any
    ) -> Coroutine[Any, Any, Outcome]:
        """`record_response`, without blocking the event loop; passed to a thread at once, as in `arecord`."""
        return in_thread(self.record_response, response, deadline_s, **fields)

    def track(self, **fields: Any) -> TrackedCall:
        """Time and record an AI call, also if it fails: `with recorder.track(user_id=…) as call:` (or `async with`).

        Set `call.response` to the response; read a stream from `call.response`. `call.outcome` is the result of
        recording it. Raises as `TokenUsage` does for an invalid field; an exception of the block propagates unchanged.
        """
        with fork_guard.importing:
            from tracker.recording.capture import call

        return call.TrackedCall(self, call.check_fields(fields))

    def wrap(self, client: ClientT, **fields: Any) -> ClientT:
        """Record every call of an official client (google-genai, openai, anthropic; sync or async); returns the client.

        `fields` apply to every call; a `track` block around a call adds its own. Results and exceptions stay
        unchanged. Raises `UsageTypeError` for anything but such a client.
        """
        with fork_guard.importing:
            from tracker.recording.capture.wrap import wrap

        wrapped: ClientT = wrap(self, client, fields)
        return wrapped

    def context(self, /, **fields: Any) -> ContextBlock:
        """Add fields to every call that starts inside: `with recorder.context(user_id=…, team="growth"):`.

        `user_id`, `session_id`, `operation` and `provider` fill their columns, every other keyword is a key of
        `metadata`; None means not given. Nested contexts add up, and fields of the call itself take precedence. The
        context applies to all Trackers, to asyncio tasks that start inside, and to threads with a copy of the context
        (`contextvars.copy_context`). Also `async with`. Raises `UsageTypeError` for another field of `TokenUsage`, and
        as `TokenUsage` does for an invalid value.
        """
        return ContextBlock(fields)

    def bind(self, iterator: IteratorT, /, **fields: Any) -> IteratorT:
        """The iterator, whose steps run in `context(**fields)`; the code that reads it does not.

        For a generator: a `with recorder.context(…)` inside it would also apply to its reader between two steps. Takes
        asynchronous iterators too. Raises `UsageTypeError` for anything else.
        """
        from tracker.recording.bound_iterators import bind

        bound: IteratorT = bind(iterator, ContextBlock(fields))
        return bound

    def pool_stats(self) -> PoolStats | None:
        """The current connection counts of this process; None without a database URL."""
        return self._pool.stats() if self._pool else None

    def close(self) -> None:
        """Deliver queued records within the record's deadline, report the last sequence number, close connections.

        The Tracker reopens when it is used again.
        """
        self._close(self.settings.deadline_s)

    def _close(self, timeout_s: float) -> None:
        self._record_captured(ending=True)
        queue = self._queue
        enqueued = queue.enqueued_count if queue else 0
        left = queue.flush(timeout_s, ending=True) if queue else 0
        note_timeout_s = min(timeout_s, _NOTE_TIMEOUT_S)
        lifecycle.report_last_sequence(self._instance, self._delivery, self._get_queue, 0.0 if left else note_timeout_s)
        if self._queue is not None:
            self._queue.close(alerts_timeout_s=note_timeout_s)
        if self._pool:
            self._pool.close()
        if queue and queue.enqueued_count != enqueued:
            queue.wake()  # other threads have enqueued records since

    def _record_captured(self, *, ending: bool = False) -> None:
        """Record abandoned streams and, when closing, open calls and responses that were never retrieved."""
        modules = sys.modules  # a process that captured no call has imported none of these
        if (deferred_finish := modules.get("tracker.recording.capture.deferred_finish")) is not None:
            deferred_finish.record_abandoned()
            if ending:
                deferred_finish.give_up_at_close(self)
        if ending and (responses := modules.get("tracker.recording.capture.background_responses")) is not None:
            responses.record_never_retrieved(self)

    def _after_fork(self) -> None:
        """Reset in a forked child, which is a separate recording process with its own sequence numbers."""
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
    """The shared Tracker of this process; the settings of the first call apply."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Tracker(**settings)
        return _shared


def shared_pool() -> PoolStats | None:
    """The connection counts of the shared Tracker; None if it doesn't exist, and it isn't created."""
    return _shared.pool_stats() if _shared is not None else None


def _after_fork_in_child() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
