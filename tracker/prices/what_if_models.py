"""The models of a what-if comparison: finds a model by its name, and whether two models do the same kind of work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced

MAX_MODELS = 5
_MAX_SUGGESTIONS = 3
_EMBEDDING_OPERATIONS = frozenset({"embed", "embedding", "embeddings"})


@dataclass(frozen=True, slots=True)
class WhatIfModel:
    """A model to compare with: the name as it was given, and the provider and model that prices are looked up by."""

    name: str
    provider: str
    model: str


def find_model(catalog: PriceCatalog, name: str, at: datetime) -> WhatIfModel:
    """The model of a name such as gpt-5-mini or groq/llama-3.3-70b-versatile.

    Raises `SettingError` with the nearest names if no price list contains it.
    """
    given = name.strip()
    reason = Unpriced("model_unknown")
    for provider, model in _candidates(catalog, given):
        units = catalog.units(provider, model, at)
        if not isinstance(units, Unpriced):
            return WhatIfModel(given, provider, model)
        if units.code == "provider_unknown":
            reason = units
    raise SettingError(_unknown(catalog, given, is_ambiguous=reason.code == "provider_unknown"))


def _candidates(catalog: PriceCatalog, name: str) -> Iterator[tuple[str, str]]:
    if not name:
        return
    yield "", name
    for price in catalog.custom_prices:
        if price.provider and name in {price.model, f"{price.provider}/{price.model}"}:
            yield price.provider, price.model
    provider, slash, model = name.partition("/")
    if slash and provider and model:
        yield provider, model


def _unknown(catalog: PriceCatalog, name: str, *, is_ambiguous: bool) -> Message:
    nearest = _sellers_of(name) if is_ambiguous else nearest_names(catalog, name)
    shown = repr(name if len(name) <= 60 else f"{name[:60]}…")
    if is_ambiguous:
        return Message("prices.what_if.provider_unknown", name=shown, names=", ".join(nearest) or "provider/model")
    if not nearest:
        return Message("prices.what_if.model_unknown", name=shown)
    return Message("prices.what_if.model_unknown_nearest", name=shown, names=", ".join(nearest))


def _sellers_of(name: str) -> list[str]:
    names = [listed for listed in listed_names() if listed.partition("/")[2] == name]
    return names[:_MAX_SUGGESTIONS]


def nearest_names(catalog: PriceCatalog, name: str) -> list[str]:
    """The most similar names of models with a price, the nearest first."""
    names = [price.model for price in catalog.custom_prices if not price.model.endswith("*")]
    wanted = name.lower()
    similar = get_close_matches(wanted, dict.fromkeys([*names, *_short_names()]), _MAX_SUGGESTIONS, 0.6)
    return similar or [listed for listed in _short_names() if wanted and wanted in listed][:_MAX_SUGGESTIONS]


@cache
def _short_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition("/")[2] for name in listed_names()))


@cache
def listed_names() -> tuple[str, ...]:
    """The provider and the id of each model of the price list, such as openai/gpt-5-mini."""
    from genai_prices.data_snapshot import get_snapshot

    return tuple(f"{provider.id}/{model.id}" for provider in get_snapshot().providers for model in provider.models)


def makes_text(catalog: PriceCatalog, provider: str, model: str, at: datetime, operation: str = "") -> bool | None:
    """Whether the model writes an output, unlike a model for embeddings; None if that is not known."""
    if "embed" in model.lower():
        return False
    units = catalog.units(provider, model, at)
    if isinstance(units, Unpriced) or not units:
        return False if operation.strip().lower() in _EMBEDDING_OPERATIONS else None
    if any(unit.startswith("output_") for unit in units):
        return True
    return False if "input_tokens" in units else None
