"""The reasons why a call has no price: a code, its detail, and an English sentence."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.messages import Message, has_message

PREFIX = "unpriced "
"""The prefix of `cost_source` for a call without a cost and with a known reason."""
_MAX_DETAIL = 60


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The reason why a call has no price: a code, and its detail (see `tracker/messages/prices_texts.py`)."""

    code: str
    detail: str = ""

    @property
    def source(self) -> str:
        """The text for `cost_source`."""
        return f"{PREFIX}{self.code} {self.detail}".rstrip()


def unpriced(code: str, detail: object = "") -> Unpriced:
    """A reason; `detail` is shortened to one line, since it may be any text of a provider."""
    line = "".join(char if char.isprintable() else "?" for char in str(detail))
    return Unpriced(code, " ".join(line.split())[:_MAX_DETAIL])


def read_reason(source: str | None) -> Unpriced | None:
    """The reason in a `cost_source`; None if it contains none."""
    if not source or not source.startswith(PREFIX):
        return None
    code, _, detail = source.removeprefix(PREFIX).partition(" ")
    return Unpriced(code, detail)


def describe_reason(reason: Unpriced) -> Message:
    """The reason as a message. A code of a newer version is its own sentence."""
    if reason.code == "part_not_priced":
        return _describe_part(reason.detail)
    return _fill_detail(reason)


def _describe_part(detail: str) -> Message:
    """The message for a row of several models; `detail` contains the model and its own reason."""
    model, _, nested = detail.partition(": ")
    reason = read_reason(PREFIX + nested)
    if reason is None or not has_message(f"prices.unpriced.{reason.code}"):
        return _fill_detail(Unpriced("part_not_priced", detail))
    first, second = _fill_detail(Unpriced("part_not_priced", model)), _fill_detail(reason)
    return Message("general.two_sentences", first=first, second=second)


def _fill_detail(reason: Unpriced) -> Message:
    code = f"prices.unpriced.{reason.code}"
    if not has_message(code):
        return Message("prices.unpriced.other", reason=f"{reason.code} {reason.detail}".strip())
    return Message(code, detail=reason.detail or "an unknown value")
