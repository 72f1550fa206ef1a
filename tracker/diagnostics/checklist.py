"""The checklist of seven items: each checked by the program, with what shows it and when."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from tracker.database.connect import elapsed_ms
from tracker.database.url import DatabaseUrl
from tracker.diagnostics.probe import ReserveConnection
from tracker.diagnostics.report import Report
from tracker.diagnostics.self_test import OPERATIONS, RollupCheck, SelfTest, self_test
from tracker.errors import TrackerError

Status = Literal["passed", "failed", "not_checked"]
ITEM_TITLES = (
    "Environment variables are set",
    "The database is reached",
    "The table token_usage is there",
    "AI summary and AI tag are recorded",
    "The dashboard shows them",
    "The debug API answers",
    "The log says what happened",
)


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One item: its state, what shows it, the moment and the milliseconds of the check."""

    title: str
    status: Status
    evidence: str
    checked_at: datetime
    ms: float


@dataclass(slots=True)
class Checklist:
    """Checks all seven, one after another, so that a page can show progress.

    `report` makes a debug report; `shown` says whether the dashboard reads a row by its id; `ask` asks the debug route
    and returns its status and JSON; `rollup` looks for a canary in the rollups. What is None can't be checked here.
    `reserve` makes room for the self-test's two connections, where connections are counted.
    """

    build_report: Callable[[], Report]
    database_url: DatabaseUrl | None
    dashboard_reads: Callable[[UUID], bool] | None = None
    call_debug_route: Callable[[], tuple[int, Mapping[str, Any]]] | None = None
    check_rollup: RollupCheck | None = None
    reserve_connections: ReserveConnection = nullcontext
    _made: Report | None = field(default=None, init=False)
    _tests: list[SelfTest] = field(default_factory=list, init=False)
    _lines: list[str] = field(default_factory=list, init=False)
    _heard: bool = field(default=True, init=False)

    def run(self) -> Iterator[ChecklistItem]:
        """Each item as soon as it is checked; raises nothing for what is broken."""
        checks = (
            self._variables,
            self._connection,
            self._table,
            self._recording,
            self._dashboard,
            self._debug_api,
            self._logs,
        )
        for title, check in zip(ITEM_TITLES, checks, strict=True):
            started = time.perf_counter()
            try:
                status, evidence = check()
            except TrackerError as error:
                status, evidence = "failed", str(error)
            yield ChecklistItem(title, status, evidence, datetime.now(UTC), elapsed_ms(started))

    def _found(self) -> dict[str, Any]:
        if self._made is None:
            self._made = self.build_report()
        return self._made.as_dict(users=False)

    def _variables(self) -> tuple[Status, str]:
        found = self._found()
        wrong = [shape["sentence"] for shape in found["variables"] if shape["severity"] == "error"]
        if wrong:
            return "failed", " ".join(wrong)
        if found["database"]["target"] is None:
            return "failed", found["recommendations"][0]["cause"]
        flags = found["environment"]
        on = [name.removesuffix("_SET") for name, value in flags.items() if name.endswith("_SET") and value]
        return "passed", "Set: " + (", ".join(on) if on else "none; the embedded database is used") + "."

    def _connection(self) -> tuple[Status, str]:
        database = self._found()["database"]
        if database["connectionStatus"] != "connected":
            error = database["error"]
            return (
                "failed",
                f"{error['sentence']} {error['remedy']}".strip() if error else "There is no address to try.",
            )
        return "passed", f"PostgreSQL {database['serverVersion']}, one round trip {database['latencyMs']:.1f} ms."

    def _table(self) -> tuple[Status, str]:
        found = self._found()
        database = found["database"]
        if database["tableExists"] is None:
            return "not_checked", "The database isn't reached."
        if not database["healthy"]:
            return "failed", found["recommendations"][0]["cause"]
        return "passed", "All columns are there, and an insert is allowed (tried, and taken back)."

    def _recording(self) -> tuple[Status, str]:
        if self.database_url is None:
            return "not_checked", "There is no database to record in."
        handler = _Lines(self._lines)
        logger = logging.getLogger("tracker")
        self._heard = logger.isEnabledFor(logging.INFO)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
        try:
            for operation in OPERATIONS:
                with self.reserve_connections():
                    self._tests.append(
                        self_test(
                            self.database_url,
                            operation,
                            check_rollup=self.check_rollup,
                            dashboard_reads=self.dashboard_reads,
                        )
                    )
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)
        told = "; ".join(_told(test) for test in self._tests)
        own = [c for test in self._tests for c in test.checks if c.name != "dashboard shows it"]
        return ("passed" if all(c.ok is not False for c in own) else "failed"), told

    def _dashboard(self) -> tuple[Status, str]:
        found = [c for test in self._tests for c in test.checks if c.name == "dashboard shows it"]
        tried = [c for c in found if c.ok is not None]
        if not tried:
            return "not_checked", found[
                0
            ].evidence if found and self.dashboard_reads else "Open the dashboard to check it."
        bad = [c.evidence for c in tried if not c.ok]
        return (
            ("failed", bad[0]) if bad else ("passed", f"{len(tried)} test recordings were read as the pages read them.")
        )

    def _debug_api(self) -> tuple[Status, str]:
        if self.call_debug_route is None:
            return "not_checked", "GET /api/debug/token-tracking isn't served here."
        status, body = self.call_debug_route()
        keys = [key for key in ("environment", "database", "tokenUsage", "recommendations") if key not in body]
        if status not in {200, 503} or keys:
            return "failed", f"It answered {status}" + (f" without {', '.join(keys)}." if keys else ".")
        return "passed", f"It answered {status} with all its keys."

    def _logs(self) -> tuple[Status, str]:
        if not self._tests:
            return "not_checked", "Nothing was recorded, so there is nothing to say."
        lines = [line for line in self._lines if any(str(test.id) in line for test in self._tests)]
        if not lines:
            return "failed", "There is no line about the test recordings: TRACKER_LOG_RECORDS is off."
        heard = (
            "" if self._heard else " This process's logging hides INFO; failures and slow records show all the same."
        )
        return "passed", f"{len(lines)} lines about the test recordings, such as {lines[0][:60]}….{heard}"


class _Lines(logging.Handler):
    """Keeps what is logged while the test recordings are made."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._kept = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record.getMessage())


def _told(test: SelfTest) -> str:
    steps = ", ".join(f"{c.name} {'ok' if c.ok else 'not tried' if c.ok is None else 'FAILED'}" for c in test.checks)
    failed = next((c.evidence for c in test.checks if c.ok is False), "")
    return f"{test.operation}: {steps}" + (f" ({failed})" if failed else "")
