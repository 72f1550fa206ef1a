"""The checklist of seven items on the Environment page. Each item is checked by the program and has its evidence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from tracker.database.connect import elapsed_ms
from tracker.database.url import DatabaseUrl
from tracker.diagnostics.probe import ReserveConnection
from tracker.diagnostics.report import Report
from tracker.diagnostics.self_test import DASHBOARD_CHECK, OPERATIONS, RollupCheck, SelfTestResult, self_test
from tracker.errors import TrackerError
from tracker.messages import Message, join_messages

Status = Literal["passed", "failed", "not_checked"]
ITEM_TITLES = tuple(
    Message(f"diagnostics.checklist.{name}")
    for name in ("variables", "connection", "table", "recording", "dashboard", "debug_api", "log")
)
_REPORT_KEYS = ("environment", "database", "tokenUsage", "recommendations")


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """The result of one item, and when and how long it was checked."""

    title: str
    status: Status
    evidence: str
    checked_at: datetime
    ms: float


@dataclass(slots=True)
class Checklist:
    """Checks the seven items one after another. An item is "not_checked" if the parameter that it needs is None.

    `dashboard_reads` returns whether the dashboard reads the row with an id. `call_debug_route` returns the status and
    the JSON of the debug route. `check_rollup` checks that the rollups count a test row. `reserve_connections` makes
    room in a limited pool for the self-test's two connections.
    """

    build_report: Callable[[], Report]
    database_url: DatabaseUrl | None
    dashboard_reads: Callable[[UUID], bool] | None = None
    call_debug_route: Callable[[], tuple[int, Mapping[str, Any]]] | None = None
    check_rollup: RollupCheck | None = None
    reserve_connections: ReserveConnection = nullcontext
    _cached_report: dict[str, Any] | None = field(default=None, init=False)
    _self_tests: list[SelfTestResult] = field(default_factory=list, init=False)
    _log_lines: list[str] = field(default_factory=list, init=False)
    _info_is_enabled: bool = field(default=True, init=False)

    def run(self) -> Iterator[ChecklistItem]:
        """Each item as soon as it is checked. A `TrackerError` makes the item fail and is not raised."""
        checks = (
            self._check_variables,
            self._check_connection,
            self._check_table,
            self._check_recording,
            self._check_dashboard,
            self._check_debug_api,
            self._check_log,
        )
        for title, check in zip(ITEM_TITLES, checks, strict=True):
            started = time.perf_counter()
            try:
                status, evidence = check()
            except TrackerError as error:
                status, evidence = "failed", str(error)
            yield ChecklistItem(title, status, evidence, datetime.now(UTC), elapsed_ms(started))

    def _report(self) -> dict[str, Any]:
        if self._cached_report is None:
            self._cached_report = self.build_report().as_dict(users=False)
        return self._cached_report

    def _check_variables(self) -> tuple[Status, str]:
        report = self._report()
        errors = [problem["sentence"] for problem in report["variables"] if problem["severity"] == "error"]
        if errors:
            return "failed", join_messages(errors)
        if report["database"]["target"] is None:
            return "failed", report["recommendations"][0]["cause"]
        flags = report["environment"]
        set_names = [name.removesuffix("_SET") for name, value in flags.items() if name.endswith("_SET") and value]
        if not set_names:
            return "passed", Message("diagnostics.check.embedded_database_used")
        return "passed", Message("diagnostics.check.variables_set", names=", ".join(set_names))

    def _check_connection(self) -> tuple[Status, str]:
        database = self._report()["database"]
        if database["connectionStatus"] != "connected":
            if (error := database["error"]) is None:
                return "failed", Message("diagnostics.check.database_not_configured")
            return "failed", join_messages([error["sentence"], error["remedy"]])
        return "passed", Message(
            "diagnostics.check.round_trip",
            server_version=database["serverVersion"],
            latency_ms=f"{database['latencyMs']:.1f}",
        )

    def _check_table(self) -> tuple[Status, str]:
        report = self._report()
        database = report["database"]
        if database["tableExists"] is None:
            return "not_checked", Message("diagnostics.check.database_unreachable")
        if not database["healthy"]:
            return "failed", report["recommendations"][0]["cause"]
        return "passed", Message("diagnostics.check.table_complete")

    def _check_recording(self) -> tuple[Status, str]:
        if self.database_url is None:
            return "not_checked", Message("diagnostics.check.recording_without_database")
        with self._captured_log():
            for operation in OPERATIONS:
                with self.reserve_connections():
                    result = self_test(
                        self.database_url,
                        operation,
                        check_rollup=self.check_rollup,
                        dashboard_reads=self.dashboard_reads,
                    )
                self._self_tests.append(result)
        evidence = join_messages(map(_summary, self._self_tests), "general.statements")
        checks = [c for result in self._self_tests for c in result.checks if c.name != DASHBOARD_CHECK]
        return ("passed" if all(c.ok is not False for c in checks) else "failed"), evidence

    @contextmanager
    def _captured_log(self) -> Iterator[None]:
        """Collect the log lines of the block, including INFO lines that the process's log level hides."""
        handler = _LineCollector(self._log_lines)
        logger = logging.getLogger("tracker")
        self._info_is_enabled = logger.isEnabledFor(logging.INFO)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)

    def _check_dashboard(self) -> tuple[Status, str]:
        checks = [c for result in self._self_tests for c in result.checks if c.name == DASHBOARD_CHECK]
        tried = [c for c in checks if c.ok is not None]
        if not tried:
            has_reason = checks and self.dashboard_reads
            return "not_checked", checks[0].evidence if has_reason else Message("diagnostics.check.dashboard_not_read")
        failures = [c.evidence for c in tried if not c.ok]
        if failures:
            return "failed", failures[0]
        return "passed", Message("diagnostics.check.dashboard_reads", count=len(tried))

    def _check_debug_api(self) -> tuple[Status, str]:
        if self.call_debug_route is None:
            return "not_checked", Message("diagnostics.check.debug_api_not_served")
        status, body = self.call_debug_route()
        missing = [key for key in _REPORT_KEYS if key not in body]
        if missing:
            keys = ", ".join(missing)
            return "failed", Message("diagnostics.check.debug_api_keys_missing", status=status, keys=keys)
        if status not in {200, 503}:
            return "failed", Message("diagnostics.check.debug_api_status", status=status)
        return "passed", Message("diagnostics.check.debug_api_complete", status=status)

    def _check_log(self) -> tuple[Status, str]:
        if not self._self_tests:
            return "not_checked", Message("diagnostics.check.log_without_recording")
        lines = [line for line in self._log_lines if any(str(result.id) in line for result in self._self_tests)]
        if not lines:
            return "failed", Message("diagnostics.check.log_off")
        evidence = Message("diagnostics.check.log_lines", count=len(lines), line=lines[0][:60])
        note = "" if self._info_is_enabled else Message("diagnostics.check.log_level_hides_info")
        return "passed", join_messages([evidence, note])


class _LineCollector(logging.Handler):
    """Appends each log message to a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


def _summary(result: SelfTestResult) -> Message:
    states = {True: "check_passed", False: "check_failed", None: "check_not_tried"}
    summaries = [Message(f"diagnostics.self_test.{states[check.ok]}", check=check.name) for check in result.checks]
    steps = join_messages(summaries, "general.list")
    failure = next((check.evidence for check in result.checks if check.ok is False), None)
    if failure is None:
        return Message("diagnostics.check.self_test", operation=result.operation, steps=steps)
    return Message("diagnostics.check.self_test_failed", operation=result.operation, steps=steps, sentence=failure)
