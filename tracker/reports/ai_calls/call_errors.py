"""The errors of the AI calls, grouped by a fingerprint: the message without numbers, ids, and quoted values."""

from __future__ import annotations

import re

import pandas as pd

from tracker.reports.engine.query_rollups import query_frame, query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

MAX_MESSAGES = 5000
"""At most this number of different messages are read and grouped, the newest first."""
_MAX_FINGERPRINT_CHARS = 200
_PREFIXES = (
    "req|request|chatcmpl|cmpl|msg|resp|run|thread|asst|file|batch|call|toolu|tool|org|proj|user|key|sk|sess|session|"
    "conv|item|rs|fc|id|trace|span"
)
# The first pattern that matches decides. An HTTP status is kept, because it is the kind of the error.
_VALUES = re.compile(
    r"""
    (?P<status>
        (?:\b(?i:http(?:/[\d.]+)?|status|code)(?:\s+code)?\W{0,3}|(?:^|(?<=[(:]\s)|(?<=[(]))(?=[45]\d\d\s+[A-Z]))[1-5]\d\d\b
    )
    |(?P<time>\b\d{4}-\d\d-\d\d(?:[T\s]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|\s?[+-]\d\d:?\d\d)?)?)
    |(?P<id>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)
    |(?P<url>\b[a-z][a-z0-9+.-]{1,15}://[^\s'"`<>()]+)
    |(?P<email>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    |(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b)
    |(?P<value>
        (?<!\w)'(?:[^'\n]|'(?=\w))*'(?!\w)|"[^"\n]*"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’|«[^»\n]*»
    )
    |(?P<id_hex>\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b)
    |(?P<id_prefixed>\b(?:PREFIXES)[-_](?=[\w*.-]*[A-Z\d*])[\w*.-]{5,}[\w*])
    |(?P<id_random>(?<![\w-])(?=\w*\d)(?=\w*[A-Za-z])\w{12,}(?![\w-]))
    |(?P<number>(?<![\d.])(?:(?<!\w)-)?\d+(?:[.,_]\d+)*)
    """.replace("PREFIXES", _PREFIXES),
    re.VERBOSE,
)
_PLACEHOLDERS = {"number": "<n>", "time": "<time>", "url": "<url>", "email": "<email>", "address": "<address>"}
# APIs return the error as an object, which clients print as JSON or as a Python dict.
_KEY_START, _KEY_END = re.compile(r"[{,]\s*$"), re.compile(r"\s*:")
_DESCRIBING_KEY = re.compile(r"""['"](?:message|type|code|status|reason|error|detail|param)['"]\s*:\s*$""")
_STATUS_KEY = re.compile(r"""['"](?:code|status)['"]\s*:\s*$""")
_LISTS = re.compile(r"(<\w+>)(?:,\s*\1)+")


def fingerprint(message: str | None) -> str:
    """The message with placeholders for its values, equal for two occurrences of one error; empty without a message.

    >>> fingerprint("RateLimitError: Error code: 429 - Limit 30000, used 29877 for org-4aX9 in 'gpt-4o'")
    'RateLimitError: Error code: 429 - Limit <n>, used <n> for org-<n>aX<n> in <value>'
    """
    text = _VALUES.sub(_placeholder, " ".join((message or "").split()))
    return _LISTS.sub(r"\1, …", text)[:_MAX_FINGERPRINT_CHARS]


def _placeholder(match: re.Match[str]) -> str:
    kind, before = match.lastgroup or "", match.string[: match.start()]
    if kind == "status" or (kind == "number" and _STATUS_KEY.search(before)):
        return match[0]
    if kind == "value":
        return _quoted(match[0], before, match.string[match.end() :])
    return _PLACEHOLDERS.get(kind, "<id>")


def _quoted(text: str, before: str, after: str) -> str:
    """A quoted text: a key of an error body and the value of a key that describes the error are kept."""
    if _KEY_END.match(after) and _KEY_START.search(before):
        return text
    if _DESCRIBING_KEY.search(before):
        return text[0] + _VALUES.sub(_placeholder, text[1:-1]) + text[-1]
    return "<value>"


def error_groups(reader: Reader, filters: Filters) -> pd.DataFrame:
    """fingerprint, model, operation, calls, first_at, last_at, example and last_id of each error, newest first.

    The attribute `all_calls` of the frame (`frame.attrs`) counts all failed calls of the range, also those whose
    message exceeds the limit of `MAX_MESSAGES`.
    """
    frame = query_frame(reader, "call_errors", {**filters.parameters(), "count": MAX_MESSAGES})
    all_calls = int(frame["all_calls"].iloc[0]) if len(frame) else 0
    messages = [message if isinstance(message, str) else "" for message in frame["message"]]  # pandas reads NULL as NaN
    frame = frame.assign(
        message=messages,
        fingerprint=[fingerprint(message) for message in messages],
        model=frame["model"].fillna("unknown"),
        operation=frame["operation"].fillna("unknown"),
    )
    groups = frame.groupby(["fingerprint", "model", "operation"], as_index=False, sort=False).agg(
        calls=("calls", "sum"),
        first_at=("first_at", "min"),
        last_at=("last_at", "max"),
        example=("message", "first"),
        last_id=("last_id", "first"),
    )
    groups = groups.sort_values("last_at", ascending=False, ignore_index=True, kind="stable")
    groups.attrs["all_calls"] = all_calls
    return groups


def failed_calls_by_model_and_operation(reader: Reader, filters: Filters) -> pd.DataFrame:
    """model, operation, calls, failed_calls and failed_share of those with failed calls, most failures first."""
    frame = query_rollups(reader, "usage", filters, by=("model", "operation"))
    frame = frame[frame["failed_calls"] > 0]
    frame = frame.assign(
        model=frame["model"].fillna("unknown"),
        operation=frame["operation"].fillna("unknown"),
        failed_share=frame["failed_calls"].astype(float) / frame["calls"].astype(float),
    )
    columns = ["model", "operation", "calls", "failed_calls", "failed_share"]
    return frame.sort_values(["failed_calls", "model", "operation"], ascending=[False, True, True])[
        columns
    ].reset_index(drop=True)


def failed_calls_over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """bucket, model and failed_calls of the buckets with failed calls."""
    frame = query_rollups(reader, "usage", filters, by=("step", "model"))
    frame = frame[frame["failed_calls"] > 0]
    return frame.assign(model=frame["model"].fillna("unknown"))[["bucket", "model", "failed_calls"]]
