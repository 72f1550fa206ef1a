"""Masks the values in the SQL text of a session: strings, numbers, dollar-quoted texts, and comments.

The tokens are those of PostgreSQL's scanner (src/backend/parser/scan.l). pg_stat_activity cuts a query after
track_activity_query_size bytes, so the last token may be incomplete: it is masked up to the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracker.redaction import redact_prefixed_keys

MASK = "?"
"""Replaces a value, as in the queries of database monitors."""
_COMMENT_MASK = "/* … */"

# The alternatives are in the order in which they must be tried. A word may contain digits, $, and every character that
# is not ASCII, so that neither a number nor a string with a prefix nor a dollar quote starts within it.
_TOKEN = re.compile(
    r"""
    (?P<line_comment>--[^\n\r]*)
    |(?P<block_comment>/\*)
    |(?P<escape_string>[eE]')
    |(?P<string>(?:[nNbBxX]|[uU]&)?')
    |(?P<name>(?:[uU]&)?"(?:[^"]|"")*"?)
    |(?P<parameter>\$\d+)
    |(?P<dollar_quote>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
    |(?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
    |(?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d[\w.]*)?|\.\d[\w.]*(?:(?<=[eE])[+-]\d[\w.]*)?)
    """,
    re.VERBOSE | re.ASCII,
)
_STRING_END = re.compile(r"(?:[^']|'')*'(?!')", re.DOTALL)
_ESCAPE_STRING_END = re.compile(r"(?:[^'\\]|\\.|'')*'(?!')", re.DOTALL)
# Strings on successive lines are one string, and the next line has the escape rules of the first one.
_CONTINUATION = re.compile(r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:\s|--[^\n\r]*[\n\r])*'", re.ASCII)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def mask_literals(query: str) -> str:
    """The query with `?` for each string and number, and `…` for the text of comments.

    Names and parameters such as $1 remain. Where the text is ambiguous, everything up to its end is masked.
    """
    return redact_prefixed_keys("".join(_mask_tokens(query)))


def _mask_tokens(query: str) -> Iterator[str]:
    position = 0
    while (token := _TOKEN.search(query, position)) is not None:
        yield query[position : token.start()]
        position = token.end()
        kind = token.lastgroup
        if kind in {"word", "name", "parameter"}:
            yield token.group()
        elif kind == "number":
            yield MASK
        elif kind == "line_comment":
            yield "-- …"
        elif kind == "block_comment":
            position = _end_of_comment(query, position)
            yield _COMMENT_MASK
        else:
            position = _end_of_value(query, token)
            yield MASK
    yield query[position:]


def _end_of_value(query: str, token: re.Match[str]) -> int:
    """The position after a string or a dollar-quoted text."""
    if token.lastgroup == "dollar_quote":
        end = query.find(token.group(), token.end())
        return len(query) if end < 0 else end + len(token.group())
    position = token.end()
    while True:
        end_of_part = _end_of_string(query, position, escapes=token.lastgroup == "escape_string")
        continuation = _CONTINUATION.match(query, end_of_part)
        if continuation is None:
            return end_of_part
        position = continuation.end()


def _end_of_string(query: str, start: int, *, escapes: bool) -> int:
    """The position after the closing quote, or the end of the text.

    With standard_conforming_strings = off, a backslash also escapes a quote in an ordinary string, and the setting of
    another session is unknown. If the end of the string depends on it, the string ends at the end of the text.
    """
    pattern = _ESCAPE_STRING_END if escapes else _STRING_END
    string = pattern.match(query, start)
    if string is None or (not escapes and "\\'" in string.group()):
        return len(query)
    return string.end()


def _end_of_comment(query: str, position: int) -> int:
    """The position after a block comment, which may contain others."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(query, position)
        if edge is None:
            return len(query)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position
