"""The self-test: records one test row, reads it back, records its id again, checks the rollups, and deletes it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tracker.database.connect import Connection, connect, elapsed_ms, execute
from tracker.database.url import DatabaseUrl
from tracker.database.watchdog import Deadline
from tracker.errors import DatabaseError, SetupError
from tracker.messages import Message
from tracker.platforms import application_name, detect
from tracker.recording.insert import Target
from tracker.recording.tracker import Tracker
from tracker.rollups.invalidation import execute_and_invalidate
from tracker.usage import TokenUsage

DEADLINE_S = 4.0
OPERATIONS = ("summary_generation", "tag_generation")
DASHBOARD_CHECK = Message("diagnostics.self_test.dashboard")
_TOKENS = (812, 164)
RollupCheck = Callable[[Connection, UUID], str]
"""Takes the test row's id and returns the evidence that the rollups count it. Raises `DatabaseError` otherwise."""


@dataclass(frozen=True, slots=True)
class SelfTestCheck:
    """One step of the self-test. `ok` is None when the step was not tried."""

    name: str
    ok: bool | None
    evidence: str
    ms: float


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """All steps in order. `id` is the test row's id."""

    operation: str
    id: UUID
    checks: tuple[SelfTestCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no step failed; a step that was not tried doesn't count."""
        return all(check.ok is not False for check in self.checks)


def self_test(
    url: DatabaseUrl,
    operation: str = OPERATIONS[0],
    *,
    check_rollup: RollupCheck | None = None,
    dashboard_reads: Callable[[UUID], bool] | None = None,
) -> SelfTestResult:
    """Record a test row, read it back, record its id again, check the dashboard and the rollups, and delete the row.

    The row is `is_test`, and the loss ledger records its deletion. A row that can't be written is not queued.
    `dashboard_reads` takes the row's id and returns whether the dashboard reads it.
    """
    usage = TokenUsage(
        model="token-tracker-canary",
        operation=operation,
        input_tokens=_TOKENS[0],
        output_tokens=_TOKENS[1],
        user_id="token-tracker",
        is_test=True,
        metadata={"note": "self-test"},
    )
    run = _SelfTestRun(url, usage, check_rollup, dashboard_reads)
    # A temporary outbox: a queued test row must not be delivered after the test. The delivery thread may still write
    # to the directory while it is removed.
    with (
        tempfile.TemporaryDirectory(prefix="token-tracker-self-test-", ignore_cleanup_errors=True) as directory,
        run.new_tracker(directory) as tracker,
    ):
        run.write(tracker)
        run.read_back()
        run.repeat(tracker)
    run.check_dashboard()
    run.check_rollups()
    run.clean_up()
    return SelfTestResult(operation, usage.id, tuple(run.checks))


class _SelfTestRun:
    def __init__(
        self,
        url: DatabaseUrl,
        usage: TokenUsage,
        check_rollup: RollupCheck | None,
        dashboard_reads: Callable[[UUID], bool] | None,
    ) -> None:
        self._url = url
        self._usage = usage
        self._check_rollup = check_rollup
        self._dashboard_reads = dashboard_reads
        self._is_written = False
        self.checks: list[SelfTestCheck] = []

    def new_tracker(self, directory: str) -> Tracker:
        return Tracker(
            database_url=self._url.with_password(),
            mode="direct",
            pool_size=1,
            deadline_s=DEADLINE_S,
            outbox=str(Path(directory) / "outbox.db"),
            alert_urls=[],
        )

    def write(self, tracker: Tracker) -> None:
        started = time.perf_counter()
        outcome = tracker.record(self._usage)
        self._is_written = outcome.status == "recorded"
        success = Message("diagnostics.self_test.recorded", count=outcome.retry_count, id=outcome.id)
        self._add(Message("diagnostics.self_test.write"), self._is_written, outcome.error or success, started)

    def read_back(self) -> None:
        def compare_row(connection: Connection, target: Target) -> str:
            query = f"SELECT input_tokens, output_tokens, is_test FROM {target.name} WHERE id = %s"  # noqa: S608
            _, rows = execute(connection, query, (str(self._usage.id),))
            if rows != [(*_TOKENS, True)]:
                raise SetupError("not_found", Message("diagnostics.self_test.row_differs", count=len(rows)), "")
            return Message("diagnostics.self_test.row_matches")

        self._run_with_connection(Message("diagnostics.self_test.read_back"), compare_row)

    def repeat(self, tracker: Tracker) -> None:
        name = Message("diagnostics.self_test.repeat")
        if not self._is_written:
            self._skip(name)
            return
        started = time.perf_counter()
        outcome = tracker.record(self._usage)
        ok = outcome.status == "duplicate"
        evidence = Message(f"diagnostics.self_test.{'no_second_row' if ok else 'second_row'}")
        self._add(name, ok, outcome.error or evidence, started)

    def check_dashboard(self) -> None:
        """Check that the dashboard's own query reads the test row."""
        if self._dashboard_reads is None or not self._is_written:
            self._skip(DASHBOARD_CHECK)
            return
        started = time.perf_counter()
        evidence: str
        try:
            ok = self._dashboard_reads(self._usage.id)
            evidence = Message(f"diagnostics.self_test.dashboard_{'reads' if ok else 'lacks'}_row")
        except DatabaseError as error:
            ok, evidence = False, error.cause
        self._add(DASHBOARD_CHECK, ok, evidence, started)

    def check_rollups(self) -> None:
        """Check that the rollups count the test row, where there are rollups."""
        name = Message("diagnostics.self_test.rollup")
        if self._check_rollup is None:
            self._skip(name, Message("diagnostics.self_test.no_rollups"))
            return
        check = self._check_rollup
        self._run_with_connection(name, lambda connection, _: check(connection, self._usage.id))

    def clean_up(self) -> None:
        def delete_row(connection: Connection, target: Target) -> str:
            deletion = "DELETE FROM {table} AS calls WHERE is_test AND id = %(id)s"
            parameters = {"id": str(self._usage.id)}
            count = execute_and_invalidate(connection, target.schema, deletion, parameters, ledger_kind="removed")
            return Message("diagnostics.self_test.row_deleted", count=count)

        # An app's role need not have the right to delete.
        name = Message("diagnostics.self_test.clean_up")
        self._run_with_connection(name, delete_row, accepted_code="right_missing")

    def _run_with_connection(
        self, name: str, check: Callable[[Connection, Target], str], accepted_code: str | None = None
    ) -> None:
        """Run a check that returns its evidence. An error with `accepted_code` does not fail the check."""
        if not self._is_written:
            self._skip(name)
            return
        started = time.perf_counter()
        role = application_name(detect(), "token-tracker self-test")
        try:
            with (
                closing(connect(self._url, timeout_s=DEADLINE_S, application_name=role)) as connection,
                Deadline(connection)(time.monotonic() + DEADLINE_S),
            ):
                evidence = check(connection, Target.read(connection, self._url.schema))
        except DatabaseError as error:
            if error.code == accepted_code:
                evidence = Message("diagnostics.self_test.row_remains", id=self._usage.id)
                self._add(name, None, evidence, started)
            else:
                self._add(name, False, str(error), started)
        else:
            self._add(name, True, evidence, started)

    def _add(self, name: str, ok: bool | None, evidence: str, started: float) -> None:
        self.checks.append(SelfTestCheck(name, ok, evidence, elapsed_ms(started)))

    def _skip(self, name: str, reason: str = Message("diagnostics.self_test.not_tried")) -> None:
        self.checks.append(SelfTestCheck(name, None, reason, 0.0))
