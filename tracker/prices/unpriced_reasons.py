"""The reasons why a call has no price: a code, its detail, and an English sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "unpriced "
"""The prefix of `cost_source` for a call without a cost and with a known reason."""
_MAX_DETAIL = 60

# `{detail}` is the tier, unit or model of the reason. docs/prices.md lists the codes.
SENTENCES: Mapping[str, str] = {
    "model_unknown": "The price list does not contain this model.",
    "provider_unknown": "The provider is not recorded, and the model's name does not identify one provider.",
    "tier_unknown": "The meaning of the service tier {detail} is not known, so no price applies.",
    "tier_not_priced": "The price list has no price for {detail} of this model on the day of the call.",
    "region_not_priced": "The price list has no price for the inference region {detail}.",
    "detail_not_priced": "The price list has no price for {detail} of this model.",
    "detail_unknown": "The recorded usage contains {detail}, which the price list does not know.",
    "detail_invalid": "The recorded value of {detail} is not valid.",
    "details_contradict": "The recorded details contradict the token counts.",
    "details_incomplete": "The usage does not state how many of the tokens are audio or images.",
    "usage_missing": "The call has no recorded usage.",
    "unit_missing": "The model is billed by {detail}, which is not recorded for the call.",
    "usage_inconsistent": "The provider's usage contradicts itself, or could not be read.",
    "usage_aggregated": "The row is the sum of many calls in a usage export; it has no price.",
    "batch_needs_calls": "The price depends on the size of each call, and the row is the sum of a batch.",
    "parts_invalid": "The row contains several models, and their counts do not add up to the row.",
    "part_not_priced": "One of the models in the row has no price: {detail}.",
}


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The reason why a call has no price: a code of `SENTENCES`, and its detail."""

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


def describe_reason(reason: Unpriced) -> str:
    """The reason as an English sentence. A code of a newer version is its own sentence."""
    if reason.code == "part_not_priced":
        return _describe_part(reason.detail)
    return _fill_detail(reason)


def _describe_part(detail: str) -> str:
    """The sentences for a row of several models; `detail` contains the model and its own reason."""
    model, _, nested = detail.partition(": ")
    reason = read_reason(PREFIX + nested)
    if reason is None or reason.code not in SENTENCES:
        return _fill_detail(Unpriced("part_not_priced", detail))
    return f"{_fill_detail(Unpriced('part_not_priced', model))} {_fill_detail(reason)}"


def _fill_detail(reason: Unpriced) -> str:
    text = SENTENCES.get(reason.code)
    if text is None:
        return f"{reason.code} {reason.detail}".strip() + "."
    return text.replace("{detail}", reason.detail or "an unknown value")
