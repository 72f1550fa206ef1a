"""The self-test: one canary through the recorder's own way, read back, repeated, found in the figures, taken away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from tracker.database.connect import Connection, connect, elapsed_ms, execute
from tracker.database.url import DatabaseUrl
from tracker.database.watchdog import Deadline
from tracker.errors import DatabaseError, SetupError
from tracker.platforms import application_name, detect
from tracker.recording.insert import Target
from tracker.recording.tracker import Tracker
from tracker.rollups.invalidation import execute_and_invalidate
from tracker.usage import TokenUsage

DEADLINE_S = 4.0
OPERATIONS = ("summary_generation", "tag_generation")
_TOKENS = (812, 164)
# Told a canary's id: whether the rollups hold it, in one sentence. Raises `DatabaseError` when they don't.
RollupCheck = Callable[[Connection, UUID], str]


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the self-test: whether it went well (None: not tried), what shows it, how long it took."""

    name: str
    ok: bool | None
    evidence: str
    ms: float


@dataclass(frozen=True, slots=True)
class SelfTest:
    """All steps in order. `id` is the canary's."""

    operation: str
    id: UUID
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what couldn't be tried fails nothing."""
        return all(check.ok is not False for check in self.checks)


def self_test(
    url: DatabaseUrl,
    operation: str = OPERATIONS[0],
    *,
    rollup: RollupCheck | None = None,
    shown: Callable[[UUID], bool] | None = None,
) -> SelfTest:
    """Record a test recording, read it back, record its id again, look for it in the figures, and remove it.

    Nothing real is touched: the row is `is_test`, and the ledger is told that it was removed. What can't be written
    isn't queued for later. `shown` is told the id while the row is there and says whether the dashboard shows it.
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
    run = _Run(url, usage, rollup, shown)
    # An outbox of its own, gone with the test: a canary must not arrive when nobody looks for it any more. The delivery
    # thread can still write to the directory while it is removed.
    with (
        tempfile.TemporaryDirectory(prefix="token-tracker-self-test-", ignore_cleanup_errors=True) as directory,
        run.tracker(directory) as recorder,
    ):
        run.write(recorder)
        run.read_back()
        run.repeat(recorder)
    run.figures()
    run.clean_up()
    return SelfTest(operation, usage.id, tuple(run.checks))


class _Run:
    def __init__(
        self, url: DatabaseUrl, usage: TokenUsage, rollup: RollupCheck | None, shown: Callable[[UUID], bool] | None
    ) -> None:
        self._url = url
        self._usage = usage
        self._rollup = rollup
        self._shown = shown
        self._written = False
        self.checks: list[Check] = []

    def tracker(self, directory: str) -> Tracker:
        return Tracker(
            database_url=self._url.with_password(),
            mode="direct",
            pool_size=1,
            deadline_s=DEADLINE_S,
            outbox=str(Path(directory) / "outbox.db"),
            alert_urls=[],
        )

    def write(self, recorder: Tracker) -> None:
        started = time.perf_counter()
        outcome = recorder.record(self._usage)
        self._written = outcome.status == "recorded"
        evidence = outcome.error or f"{outcome.status}, {outcome.retry_count} retries, id {outcome.id}"
        self._enter("write", self._written, evidence, started)

    def read_back(self) -> None:
        def look(connection: Connection, target: Target) -> str:
            question = f"SELECT input_tokens, output_tokens, is_test FROM {target.name} WHERE id = %s"  # noqa: S608
            _, rows = execute(connection, question, (str(self._usage.id),))
            if rows != [(*_TOKENS, True)]:
                raise SetupError("not_found", f"The row isn't there as it was written: {len(rows)} rows.", "")
            return "The row is there as it was written."

        self._with_connection("read back", look)

    def repeat(self, recorder: Tracker) -> None:
        if not self._written:
            self._skip("same id again")
            return
        started = time.perf_counter()
        outcome = recorder.record(self._usage)
        ok = outcome.status == "duplicate"
        self._enter("same id again", ok, f"{outcome.status}: {'no second row' if ok else outcome.error}", started)

    def figures(self) -> None:
        """The dashboard's own reading, and the rollups where there are any."""
        started = time.perf_counter()
        if self._shown is None or not self._written:
            self._skip("dashboard shows it")
        else:
            try:
                found = self._shown(self._usage.id)
                evidence = f"The dashboard {'reads' if found else 'does not find'} the row by its id."
            except DatabaseError as error:
                found, evidence = False, error.cause
            self._enter("dashboard shows it", found, evidence, started)
        if self._rollup is None:
            self._skip("rollup", "This database has no rollups to look into.")
        else:
            rollup = self._rollup
            self._with_connection("rollup", lambda connection, _: rollup(connection, self._usage.id))

    def clean_up(self) -> None:
        def remove(connection: Connection, target: Target) -> str:
            deletion = "DELETE FROM {table} AS calls WHERE is_test AND id = %(id)s"
            given = {"id": str(self._usage.id)}
            gone = execute_and_invalidate(connection, target.schema, deletion, given, ledger_kind="removed")
            return f"{gone} test row removed, and the ledger told."

        self._with_connection("clean up", remove, optional="right_missing")

    def _with_connection(
        self, name: str, work: Callable[[Connection, Target], str], optional: str | None = None
    ) -> None:
        """`optional` is the code of an error that fails nothing: an app's role needn't be allowed to delete."""
        if not self._written:
            self._skip(name)
            return
        started = time.perf_counter()
        role = application_name(detect(), "token-tracker self-test")
        try:
            with (
                closing(connect(self._url, timeout_s=DEADLINE_S, application_name=role)) as connection,
                Deadline(connection)(time.monotonic() + DEADLINE_S),
            ):
                evidence = work(connection, Target.read(connection, self._url.schema))
        except DatabaseError as error:
            if error.code == optional:
                left = f"This role may not delete; the test row {self._usage.id} stays, and no figure counts it."
                self._enter(name, None, left, started)
            else:
                self._enter(name, False, str(error), started)
        else:
            self._enter(name, True, evidence, started)

    def _enter(self, name: str, ok: bool | None, evidence: str, started: float) -> None:
        self.checks.append(Check(name, ok, evidence, elapsed_ms(started)))

    def _skip(self, name: str, why: str = "Not tried, since nothing was written.") -> None:
        self.checks.append(Check(name, None, why, 0.0))


def as_dict(found: SelfTest) -> dict[str, Any]:
    """The self-test as JSON types."""
    checks = [{"name": c.name, "ok": c.ok, "evidence": c.evidence, "ms": c.ms} for c in found.checks]
    return {"operation": found.operation, "id": str(found.id), "passed": found.passed, "checks": checks}
