"""One source's report of an AI call, and the rule that decides whether two reports are the same call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.providers.model_names import model_base, same_model_name
from tracker.usage import TOKEN_COLUMNS

# A recorder rounds its duration to milliseconds.
_TOLERANCE_S = 0.005
# A row without a duration was recorded after the call; only its end is known.
_LATER_S = 2.0
_ID_FAMILY = re.compile(r"([a-zA-Z]{2,12})[-_](.+)", re.ASCII | re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
# LiteLLM encodes its own data in response ids; base64 of "litellm".
_LITELLM_ID = "bGl0ZWxsb"
UNKNOWN_MODEL = "unknown"


class CallReport(NamedTuple):
    """One source's report of an AI call. `scope` names the instrumentation; None is the recorder of this library.

    Times are seconds of the epoch. `call_id` is the id of the row that counts the call, None if no row does because the
    span repeats the usage of others.
    """

    record_id: str
    scope: str | None
    model: str
    started_s: float
    ended_s: float
    counts: tuple[int, ...]
    call_id: str | None
    trace_id: str = ""
    span_id: str = ""
    service: str | None = None
    request_model: str | None = None
    response_id: str | None = None
    succeeded: bool = True
    has_problem: bool = False

    @property
    def has_usage(self) -> bool:
        return any(self.counts)

    @property
    def is_failure(self) -> bool:
        return not self.succeeded and not self.has_usage

    @property
    def quality(self) -> tuple[bool, bool, int, bool]:
        """Orders reports of one call: the highest one has the most reliable counts."""
        filled = sum(1 for count in self.counts if count)
        return self.has_usage and not self.has_problem, self.succeeded, filled, self.response_id is not None


def match_score(one: CallReport, other: CallReport) -> tuple[bool, bool, bool, float] | None:
    """A score of how well two reports match; None if they are different calls.

    They are one call only if they come from different sources, have the same model, overlap in time, and have the same
    response id or equal counts. A report without counts fits by the response id, or if both failed. The provider's name
    never matters: sources name the same provider differently.
    """
    if one.scope == other.scope or not _same_model(one, other):
        return None
    same_id = one.response_id is not None and one.response_id == other.response_id
    exact = one.counts == other.counts
    gap_s = max(one.started_s, other.started_s) - min(one.ended_s, other.ended_s)
    if gap_s > (_LATER_S if same_id and exact and _is_instant(one, other) else _TOLERANCE_S):
        return None
    if not same_id and not _fits_without_id(one, other):
        return None
    distance_s = abs(one.ended_s - other.ended_s) + abs(one.started_s - other.started_s)
    return same_id, exact, bool(one.trace_id) and one.trace_id == other.trace_id, -distance_s


def _is_instant(one: CallReport, other: CallReport) -> bool:
    return one.started_s == one.ended_s or other.started_s == other.ended_s


def _fits_without_id(one: CallReport, other: CallReport) -> bool:
    if _ids_differ(one.response_id, other.response_id) or _is_of_another_service(one, other):
        return False
    if one.is_failure or other.is_failure:
        # If a provider is down, several services fail at the same time, so a failure without an id is of one service.
        same_service = one.service is None or other.service is None or one.service == other.service
        return not one.succeeded and not other.succeeded and same_service
    if not (one.has_usage and other.has_usage):
        return one.has_usage or other.has_usage
    return counts_agree(one.counts, other.counts)


def _is_of_another_service(one: CallReport, other: CallReport) -> bool:
    """Whether two services report in two traces, where calls of equal length with equal counts are common."""
    if one.service is None or other.service is None or one.service == other.service:
        return False
    return bool(one.trace_id and other.trace_id) and one.trace_id != other.trace_id


def can_repeat(above: CallReport, below: CallReport) -> bool:
    """Whether a model call repeats one that a span below it reports: same model, and same response id or counts.

    The counts also fit if only the output is equal, because senders differ in what the input includes.
    """
    if not _same_model(above, below) or _ids_differ(above.response_id, below.response_id):
        return False
    if above.response_id is not None and above.response_id == below.response_id:
        return True
    same_output = above.counts[1] == below.counts[1] != 0
    return same_output or counts_agree(above.counts, below.counts)


def counts_agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the counts are equal where both sources report them; input or output must be equal and not 0."""
    equal = all(a == b or not a or not b for a, b in zip(one, other, strict=True))
    return equal and any(a == b and a for a, b in zip(one[:2], other[:2], strict=True))


def _ids_differ(one: str | None, other: str | None) -> bool:
    """Whether two response ids name two different responses.

    Only ids of one family (`msg_…`, `resp_…`) can be compared: frameworks replace the provider's id by their own.
    """
    if not one or not other or one == other:
        return False
    families = _id_family(one), _id_family(other)
    return families[0] is not None and families[0] == families[1]


def _id_family(response_id: str) -> str | None:
    match = _ID_FAMILY.match(response_id)
    if not match or _UUID.fullmatch(match[2]) or match[2].startswith(_LITELLM_ID):
        return None
    return match[1].lower()


def _same_model(one: CallReport, other: CallReport) -> bool:
    if UNKNOWN_MODEL in {one.model, other.model} and not (one.succeeded and other.succeeded):
        return True  # a call that failed early has no model
    if same_model_name(one.model, other.model):
        return True
    if model_base(one.model) == model_base(other.model):
        return False  # two dates of one model
    requested = (one.request_model, other.model), (one.model, other.request_model)
    return any(a is not None and b is not None and same_model_name(a, b) for a, b in requested)


def model_bases(report: CallReport) -> set[str]:
    """The bases of the names that this report uses; reports of one call share one."""
    names = {model_base(name) for name in (report.model, report.request_model) if name}
    return names if report.succeeded else names | {UNKNOWN_MODEL}


def row_report(row: Mapping[str, Any], scope: str, trace_id: str, span_id: str) -> CallReport:
    """The report of a span with this row."""
    metadata = row["metadata"]
    ended_s = row["created_at"].timestamp()
    return CallReport(
        record_id=str(row["id"]),
        scope=scope,
        model=row["model"],
        started_s=ended_s - (row["processing_time"] or 0) / 1000,
        ended_s=ended_s,
        counts=tuple(row[name] for name in TOKEN_COLUMNS),
        call_id=str(row["id"]),
        trace_id=trace_id,
        span_id=span_id,
        service=metadata.get("service"),
        request_model=metadata.get("request_model"),
        response_id=metadata.get("response_id"),
        succeeded=bool(row["success"]),
        has_problem="usage_problem" in metadata,
    )
