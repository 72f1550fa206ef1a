"""Matches the reports of one AI call by different sources, one to one, and merges their rows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracker.otlp.storing.call_report import CallReport, match_score
from tracker.providers.usage_notes import UNCERTAIN_NOTES
from tracker.usage import TOKEN_COLUMNS

# Reports of one call end at nearly the same time, so only the nearest ones are compared. This bounds the time for an
# export in which all calls look the same.
_MAX_COMPARED = 64
_FILLED = (
    *("session_id", "provider", "processing_time", "time_to_first_token_ms"),
    *("environment", "platform", "region", "deployment"),
)
_GENERIC_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion"})
_FIELDS_OF_COUNTS = frozenset({"usage_problem", "usage_raw", "usage_note", "usage"})
_Feature = tuple[str, object]


class CallIndex:
    """The known reports, grouped by call. A call has at most one report of each source."""

    def __init__(self, known: Iterable[CallReport] = ()) -> None:
        self.reports: dict[str, CallReport] = {}
        self._members: dict[str, dict[str, str | None]] = defaultdict(dict)
        # By common feature, then by source, sorted by end time.
        self._index: dict[_Feature, dict[str | None, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
        for report in known:
            self.add(report)

    def add(self, report: CallReport) -> None:
        """Add a report, or replace the one with its id."""
        old = self.reports.get(report.record_id)
        if old is None:
            for feature in _features(report):
                insort(self._index[feature][report.scope], (report.ended_s, report.record_id))
        elif old.call_id is not None:
            self._members[old.call_id].pop(old.record_id, None)
        self.reports[report.record_id] = report
        if report.call_id is not None:
            self._members[report.call_id][report.record_id] = report.scope

    def of(self, call_id: str | None) -> list[CallReport]:
        """The reports of a call."""
        return [self.reports[one] for one in sorted(self._members.get(call_id, ()))] if call_id else []

    def match(self, new: CallReport) -> CallReport | None:
        """The best matching report of another source; one without a counted row only if no other one matches."""
        exact, loose = _lookup_features(new)
        best = self._best(new, exact)
        return best if best is not None and best.call_id is not None else self._best(new, [*exact, *loose])

    def _best(self, new: CallReport, features: Iterable[_Feature]) -> CallReport | None:
        best: tuple[Any, CallReport] | None = None
        for other in self._near(new, features):
            score = match_score(new, other)
            if score is not None:
                ranked = (other.call_id is not None, *score)
                if best is None or ranked > best[0]:
                    best = ranked, other
        return best[1] if best else None

    def _near(self, new: CallReport, features: Iterable[_Feature]) -> Iterator[CallReport]:
        """The reports of other sources that have one of the features and end at nearly the same time."""
        compared: set[str] = set()
        for feature in features:
            for scope, entries in self._index.get(feature, {}).items():
                if scope == new.scope:
                    continue
                middle = bisect_left(entries, (new.ended_s, ""))
                for _, record_id in entries[max(0, middle - _MAX_COMPARED // 2) : middle + _MAX_COMPARED // 2]:
                    if record_id not in compared and self._accepts(self.reports[record_id].call_id, new):
                        yield self.reports[record_id]
                    compared.add(record_id)

    def _accepts(self, call_id: str | None, new: CallReport) -> bool:
        """Whether the call has no report of this source yet. A call without a span's report is a recorder's row."""
        if call_id is None:
            return new.scope is not None
        if new.scope is None and call_id not in self.reports:
            return False
        return new.scope not in self._members[call_id].values()


def _features(report: CallReport) -> list[_Feature]:
    """The features that two reports of one call can have in common."""
    features: list[_Feature] = [("has_usage", report.has_usage)]
    if report.response_id:
        features.append(("response_id", report.response_id))
    if report.has_usage:
        features.append(("counts", report.counts))
    features += [(name, count) for name, count in zip(TOKEN_COLUMNS[:2], report.counts, strict=False) if count]
    if not report.succeeded:
        features.append(("succeeded", False))
    return features


def _lookup_features(report: CallReport) -> tuple[list[_Feature], list[_Feature]]:
    """The features by which a report is looked up: those of nearly every match first, then all others.

    A report with counts fits one without, and the other way round; reports without counts don't fit each other.
    """
    features = _features(report)[1:]
    exact = [feature for feature in features if feature[0] in {"response_id", "counts"}]
    loose = [feature for feature in features if feature not in exact]
    return exact, [*loose, ("has_usage", not report.has_usage)]


def merge_rows(rows: Iterable[tuple[CallReport, Mapping[str, Any]]]) -> dict[str, Any]:
    """Merge the rows of one call's reports: the best counts, completed with values that only other rows have."""
    ranked = sorted(rows, key=_rank, reverse=True)
    merged = dict(ranked[0][1])
    for _, other in ranked[1:]:
        merged = _fill(merged, other)
    return merged


def _rank(pair: tuple[CallReport, Mapping[str, Any]]) -> tuple[object, ...]:
    """Orders rows of one call by quality; a row whose sender omits counts comes after one without a note."""
    report, row = pair
    is_certain = (row.get("metadata") or {}).get("usage_note") not in UNCERTAIN_NOTES
    return (*report.quality[:2], is_certain, *report.quality[2:])


def _fill(row: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**row, **{name: other.get(name) for name in _FILLED if row.get(name) is None}}
    if row["user_id"] in {None, "anonymous"} and other.get("user_id"):
        filled["user_id"] = other["user_id"]
    if row["operation"] in _GENERIC_OPERATIONS and other.get("operation") not in {None, *_GENERIC_OPERATIONS}:
        filled["operation"] = other["operation"]
    if row.get("cost") is None and other.get("cost_source") == "provided":
        filled |= {"cost": other["cost"], "cost_source": "provided"}
    filled["metadata"] = _filled_metadata(row, other)
    return filled | _filled_parts(row, other)


def _filled_metadata(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    metadata, other_metadata = row.get("metadata") or {}, other.get("metadata") or {}
    added = {name: value for name, value in other_metadata.items() if name not in _FIELDS_OF_COUNTS}
    if "usage" in other_metadata and "usage" not in metadata and "usage_problem" not in other_metadata:
        added["usage"] = other_metadata["usage"]
    return {**added, **metadata}


def _filled_parts(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of input and output that only the other report has, as far as they fit into the totals."""
    if any(row[name] != other.get(name) for name in TOKEN_COLUMNS[:2]) or "usage_problem" in (
        row.get("metadata") or {}
    ):
        return {}
    parts = {name: row[name] or other.get(name) or 0 for name in TOKEN_COLUMNS[2:]}
    read, written, reasoning = (parts[name] for name in TOKEN_COLUMNS[2:])
    fits = read + written <= row["input_tokens"] and reasoning <= row["output_tokens"]
    return parts if fits else {}
