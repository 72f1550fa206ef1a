"""Plans an export: which reports are new calls, which join a known call, and which repeat others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracker.otlp.storing.call_report import CallReport, can_repeat
from tracker.otlp.storing.span_dedup import CallIndex
from tracker.otlp.storing.span_tree import (
    MOST_COMPARED,
    Key,
    Node,
    by_key,
    calls_below,
    is_descendant,
    keys_below_usage,
)


class ReportedCall(NamedTuple):
    """A span's report of an AI call, and the row to store for it."""

    report: CallReport
    row: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return self.report.trace_id, self.report.span_id


@dataclass(slots=True)
class CallPlan:
    """The changes to write. A call's row has the id of its first report."""

    calls: CallIndex
    stored: frozenset[str] = frozenset()
    """The calls that spans of earlier exports reported, which may have a row."""
    changed: dict[str, CallReport] = field(default_factory=dict)
    """Reports that are new or were moved to another call."""
    rows: dict[str, list[tuple[CallReport, Mapping[str, Any]]]] = field(default_factory=dict)
    """New reports with their rows, by the call they belong to."""
    removed: set[str] = field(default_factory=set)
    """Rows of spans that repeat others."""
    removed_recorded: set[str] = field(default_factory=set)
    """Rows of recorders without usage, which a span's row replaces."""
    merged: dict[str, str] = field(default_factory=dict)
    """The call whose row takes over the values that only a removed row has, by the removed row."""
    repeating: set[Key] = field(default_factory=set)

    def move(self, report: CallReport, call_id: str | None) -> CallReport:
        """Move a report to another call; None means that no row counts it."""
        moved = report._replace(call_id=call_id)
        self.calls.add(moved)
        if moved.scope is not None:
            self.changed[moved.record_id] = moved
        return moved


def plan_calls(nodes: Sequence[Node], known: Iterable[CallReport], new: Sequence[ReportedCall]) -> CallPlan:
    """Plan the changes of an export. The result doesn't depend on the order in which spans arrive."""
    reports = list(known)
    planned = CallPlan(
        CallIndex(reports), frozenset(one.call_id for one in reports if one.scope is not None and one.call_id)
    )
    for call in sorted(new, key=lambda call: (call.report.ended_s, -call.report.started_s, call.report.record_id)):
        _join(planned, call)
    _exclude_repeating(planned, by_key(nodes))
    return planned


def _join(planned: CallPlan, call: ReportedCall) -> None:
    report = planned.calls.reports.get(call.report.record_id)
    if report is not None:
        # The span was sent again. Inserting its own row again changes nothing.
        if report.call_id == report.record_id and len(planned.calls.of(report.call_id)) == 1:
            planned.rows.setdefault(report.record_id, []).append((report, call.row))
        return
    other = planned.calls.match(call.report)
    if other is None:
        planned.rows[call.report.record_id] = [(planned.move(call.report, call.report.record_id), call.row)]
        return
    moved = planned.move(call.report, other.call_id)
    if other.call_id is None:
        return
    planned.rows.setdefault(other.call_id, []).append((moved, call.row))
    _replace_recorded(planned, other.call_id)


def _replace_recorded(planned: CallPlan, call_id: str) -> None:
    """Replace a recorder's row without usage by the row of a span with usage."""
    members = planned.calls.of(call_id)
    recorded = next((one for one in members if one.scope is None), None)
    if recorded is None or recorded.quality[0]:
        return
    usable = [one for one in members if one.scope is not None and one.quality[0]]
    if not usable:
        return
    first = min(usable, key=lambda one: (one.ended_s, one.record_id))
    for member in members:
        planned.move(member, first.record_id if member.scope is not None else None)
    planned.removed_recorded.add(recorded.record_id)
    planned.merged[recorded.record_id] = first.record_id
    if call_id in planned.rows:
        planned.rows[first.record_id] = planned.rows.pop(call_id)


def _exclude_repeating(planned: CallPlan, nodes: Mapping[Key, Node]) -> None:
    """Count each call once: exclude a span that repeats the usage of calls below it, and a failure that others report.

    A failure is excluded if usage is above it, or usage or another failure below it, without a tool or an agent
    between. Rows that are stored already are removed.
    """
    reports = {(one.trace_id, one.span_id): one for one in planned.calls.reports.values() if one.scope is not None}
    usage, failures = _calls_by_span(nodes, reports)
    for key in _repeating_keys(nodes, reports, usage):
        planned.repeating.add(key)
        if key in reports:
            _exclude(planned, nodes, reports[key])
        else:
            planned.removed.add(usage[key])  # an earlier version stored this row without a report
    usage_below, failures_below = (calls_below(nodes, calls, is_bounded=True) for calls in (usage, failures))
    with_usage_above = keys_below_usage(nodes, usage, failures)
    for key, call_id in failures.items():
        if key in with_usage_above or usage_below.get(key) or failures_below.get(key, frozenset()) - {call_id}:
            planned.repeating.add(key)
            _exclude(planned, nodes, reports[key])


def _repeating_keys(
    nodes: Mapping[Key, Node], reports: Mapping[Key, CallReport], usage: Mapping[Key, str]
) -> list[Key]:
    """The spans that repeat calls below them: a model call only if one of them, or their sum, can be the same call."""
    any_below = calls_below(nodes, usage)
    calls_of_call = calls_below(nodes, usage, most=MOST_COMPARED, is_bounded=True)
    by_call: dict[str, list[CallReport]] = {}
    for key, call_id in usage.items():
        if key in reports:
            by_call.setdefault(call_id, []).append(reports[key])
    repeating = []
    for key, own in usage.items():
        is_call = key in nodes and nodes[key].kind == "call" and key in reports
        others = (calls_of_call if is_call else any_below).get(key, frozenset()) - {own}
        if others and (not is_call or _is_same_call(reports[key], [by_call.get(other, []) for other in others])):
            repeating.append(key)
    return repeating


def _is_same_call(report: CallReport, others: Sequence[Sequence[CallReport]]) -> bool:
    """Whether a model call repeats one of these calls, or is their sum. One without a report can be any call."""
    if any(not members or any(can_repeat(report, one) for one in members) for members in others):
        return True
    sums = tuple(sum(members[0].counts[side] for members in others) for side in (0, 1))
    return len(others) > 1 and report.counts[:2] == sums


def _calls_by_span(
    nodes: Mapping[Key, Node], reports: Mapping[Key, CallReport]
) -> tuple[dict[Key, str], dict[Key, str]]:
    usage = {key: node.record_id for key, node in nodes.items() if node.record_id is not None}
    failures: dict[Key, str] = {}
    for key, report in reports.items():
        kind = failures if report.is_failure else usage
        kind[key] = report.call_id or report.record_id
    return usage, failures


def _exclude(planned: CallPlan, nodes: Mapping[Key, Node], report: CallReport) -> None:
    """Count neither a span that repeats others, nor the reports of the same call by other sources."""
    report = planned.calls.reports[report.record_id]
    call_id = report.call_id
    if call_id is None:
        return
    members = planned.calls.of(call_id)
    key = (report.trace_id, report.span_id)
    if report.is_failure and any(one.has_usage for one in members):
        return
    others = [one for one in members if one.record_id != report.record_id]
    if any(one.scope is None or is_descendant(nodes, (one.trace_id, one.span_id), key) for one in others):
        return  # the call is counted by a recorder, or by a span below
    for member in members:
        planned.move(member, None)
    planned.rows.pop(call_id, None)
    if call_id in planned.stored:
        planned.removed.add(call_id)
