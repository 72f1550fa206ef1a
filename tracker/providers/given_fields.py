"""Fills or replaces fields of a `TokenUsage`, depending on which of them the host gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tracker.usage import CONTEXT_COLUMNS, TokenUsage, names_given, set_given


def with_names_given(usage: TokenUsage, names: Iterable[str]) -> TokenUsage:
    """The same new record, of which only these fields count as given; not for a record that the host has."""
    set_given(usage, frozenset(names).intersection(CONTEXT_COLUMNS))
    return usage


def without_context(usage: TokenUsage) -> TokenUsage:
    """The same new record, which takes nothing from a context; not for a record that the host has."""
    set_given(usage, None)
    return usage


def with_context(usage: TokenUsage, columns: Mapping[str, str], metadata: Mapping[str, Any]) -> TokenUsage:
    """A copy with these columns and keys of `metadata` where none were given; all of them must be validated before."""
    given = names_given(usage)
    if given is None:
        return usage
    changes: dict[str, Any] = {name: value for name, value in columns.items() if name not in given}
    if metadata:
        changes["metadata"] = {**metadata, **usage.metadata}
    return without_context(usage._copy(changes))  # noqa: SLF001  the base class of records has no public functions


def with_fields(usage: TokenUsage, fields: Mapping[str, Any]) -> TokenUsage:
    """A copy of the record with these fields, which count as given."""
    from dataclasses import replace

    given = names_given(usage)
    changed: TokenUsage = replace(usage, **fields)
    return changed if given is None else with_names_given(changed, given.union(fields))
