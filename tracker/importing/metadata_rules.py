"""The rules of a profile for single keys of metadata: `metadata.team = "TEAM"`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.importing.profile_rules import ColumnRule, has_value, list_of, pick


@dataclass(frozen=True, slots=True)
class MetadataRule(ColumnRule):
    """The rule for `metadata` if keys of it have rules of their own, which are added to the object of `base`.

    `constants` are the values of keys, and `base_text` is the object, for records without a value of their own.
    """

    base: ColumnRule = field(default_factory=ColumnRule)
    base_text: str = ""
    properties: Mapping[str, ColumnRule] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> Sequence[str]:
        return (*self.base.names, *(name for rule in self.properties.values() for name in rule.names))

    def text(self, values: Mapping[str, Any], column: str) -> str:
        base = self.base.text(values, column) or self.base_text
        if base and not base.startswith("{"):
            return base  # no object: the row is rejected
        try:
            metadata = json.loads(base or "{}")
        except (ValueError, RecursionError):
            return base
        properties = {
            key: value for key, rule in self.properties.items() if has_value(value := _property(values, rule, column))
        }
        return json.dumps({**metadata, **self.constants, **properties}, ensure_ascii=False, default=str)


def fold_properties(
    mapping: Mapping[str, ColumnRule], constants: Mapping[str, str]
) -> tuple[dict[str, ColumnRule], dict[str, str]]:
    """The rules and constants by column, those of `metadata.KEY` as one rule for `metadata`."""
    properties = {key: rule for column, rule in mapping.items() if (key := property_key(column))}
    values = {key: value for column, value in constants.items() if (key := property_key(column))}
    rules = {column: rule for column, rule in mapping.items() if not property_key(column)}
    others = {column: value for column, value in constants.items() if not property_key(column)}
    if properties or values:
        base = rules.get("metadata", ColumnRule())
        base_text = others.pop("metadata", "").strip()
        rules["metadata"] = MetadataRule(
            object=base.object, base=base, base_text=base_text, properties=properties, constants=values
        )
    return rules, others


def property_key(column: str) -> str:
    """The key of metadata that `metadata.KEY` names; empty for a column."""
    return column.removeprefix("metadata.") if column.startswith("metadata.") else ""


def _property(values: Mapping[str, Any], rule: ColumnRule, column: str) -> Any:
    """The value of a key; JSON's types are kept if the rule only names values."""
    if rule != ColumnRule(first=rule.first):
        return rule.text(values, column)
    value = next((value for name in rule.first if has_value(value := pick(values, name))), None)
    return list_of(value.strip() if isinstance(value, str) else value)
