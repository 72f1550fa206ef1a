"""Joins the reports of one AI call by different sources, one to one, and merges their rows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracker.otlp.storing.call_report import CallReport, match_score
from tracker.providers.usage_notes import UNCERTAIN_NOTES
from tracker.usage import TOKEN_COLUMNS

# Reports of one call end at nearly the same time, so the nearest ones are enough. This bounds the time for an export in
# which all calls look the same.
_MAX_COMPARED = 64
_FILLED = ("session_id", "provider", "processing_time", "environment", "platform", "region", "deployment")
_GENERIC_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion"})
_OF_ITS_OWN_COUNTS = frozenset({"usage_problem", "usage_raw", "usage_note", "usage"})
_Feature = tuple[str, object]


class Calls:
    """The known reports, grouped by call. A call has at most one report of each source."""

    def __init__(self, known: Iterable[CallReport] = ()) -> None:
        self.reports: dict[str, CallReport] = {}
        self._members: dict[str, dict[str, str | None]] = defaultdict(dict)
        # By what the reports have in common, then by source, in the order of their ends.
        self._index: dict[_Feature, dict[str | None, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
        for observation in known:
            self.add(observation)

    def add(self, observation: CallReport) -> None:
        """Take a report in; one that is known already is replaced."""
        old = self.reports.get(observation.record_id)
        if old is None:
            for feature in _features(observation):
                insort(self._index[feature][observation.scope], (observation.ended_s, observation.record_id))
        elif old.call_id is not None:
            self._members[old.call_id].pop(old.record_id, None)
        self.reports[observation.record_id] = observation
        if observation.call_id is not None:
            self._members[observation.call_id][observation.record_id] = observation.scope

    def of(self, call_id: str | None) -> list[CallReport]:
        """The reports of a call."""
        return [self.reports[one] for one in sorted(self._members.get(call_id, ()))] if call_id else []

    def match(self, new: CallReport) -> CallReport | None:
        """The report of another source that fits best; a report whose row was taken back only if no other one fits."""
        exact, loose = _looked_up(new)
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
        seen: set[str] = set()
        for feature in features:
            for scope, entries in self._index.get(feature, {}).items():
                if scope == new.scope:
                    continue
                middle = bisect_left(entries, (new.ended_s, ""))
                for _, record_id in entries[max(0, middle - _MAX_COMPARED // 2) : middle + _MAX_COMPARED // 2]:
                    if record_id not in seen and self._takes(self.reports[record_id].call_id, new):
                        yield self.reports[record_id]
                    seen.add(record_id)

    def _takes(self, call_id: str | None, new: CallReport) -> bool:
        """Whether the call has no report of this source yet. A row that is no span's is a recorder's."""
        if call_id is None:
            return new.scope is not None
        if new.scope is None and call_id not in self.reports:
            return False
        return new.scope not in self._members[call_id].values()


def _features(observation: CallReport) -> list[_Feature]:
    """What two reports of one call can have in common."""
    features: list[_Feature] = [("has_usage", observation.has_usage)]
    if observation.response_id:
        features.append(("response_id", observation.response_id))
    if observation.has_usage:
        features.append(("counts", observation.counts))
    features += [(name, count) for name, count in zip(TOKEN_COLUMNS[:2], observation.counts, strict=False) if count]
    if not observation.succeeded:
        features.append(("succeeded", False))
    return features


def _looked_up(observation: CallReport) -> tuple[list[_Feature], list[_Feature]]:
    """The features by which a report is looked up: those of nearly every match first, then all others.

    A report with counts fits one without, and the other way round; reports without counts don't fit each other.
    """
    features = _features(observation)[1:]
    exact = [feature for feature in features if feature[0] in {"response_id", "counts"}]
    loose = [feature for feature in features if feature not in exact]
    return exact, [*loose, ("has_usage", not observation.has_usage)]


def merge_rows(rows: Iterable[tuple[CallReport, Mapping[str, Any]]]) -> dict[str, Any]:
    """The row of a call from the rows of its reports: the best counts, and what only other reports know."""
    ranked = sorted(rows, key=_rank, reverse=True)
    merged = dict(ranked[0][1])
    for _, other in ranked[1:]:
        merged = _fill(merged, other)
    return merged


def _rank(pair: tuple[CallReport, Mapping[str, Any]]) -> tuple[object, ...]:
    """Orders rows of one call like their reports, but a row whose sender leaves counts out after one without a note."""
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
    own, more = row.get("metadata") or {}, other.get("metadata") or {}
    added = {name: value for name, value in more.items() if name not in _OF_ITS_OWN_COUNTS}
    if "usage" in more and "usage" not in own and "usage_problem" not in more:
        added["usage"] = more["usage"]
    return {**added, **own}


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
