"""Profiles: map the values of an export to columns. Each is a TOML file; docs/sources.md contains an example."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from tracker.errors import SettingError
from tracker.importing.metadata_rules import property_key
from tracker.importing.profile_rules import OPTIONS, ColumnRule, parse_rule
from tracker.small_files import parse_toml, read_text

_KEYS = {
    "langfuse_usage",
    "title",
    "source",
    "timezone",
    "map",
    "set",
    "only",
    "skip",
    "needs",
    "within",
    "identity",
    "ends",
    "aggregated",
}
_TEXT_LISTS = ("needs", "within", "identity", "langfuse_usage")


@dataclass(frozen=True, slots=True)
class Profile:
    """The format of a file, and how its records become rows.

    `mapping` has a rule for each column, `constants` a value for every row; `metadata.KEY` is a key of metadata. A
    record is imported only if each name in `only` has one of its values and each name in `needs` has any value, and is
    skipped if all names of a table in `skip` have one of theirs. `within` names the nested lists that contain the
    records. `identity` names the values that identify a record, so that it keeps its id when its counts change; `ends`
    names its end, which must be in the past. `aggregated` records are sums of many calls, which have no price.
    `langfuse_usage` names the values that can be Langfuse's usage; the mapping reads the first of them as the object
    `counted`.
    """

    name: str
    title: str = ""
    source: str = ""
    timezone: str = "UTC"
    mapping: Mapping[str, ColumnRule] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skip: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    needs: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    aggregated: bool = False
    langfuse_usage: tuple[str, ...] = ()

    @property
    def plain(self) -> dict[str, str] | None:
        """The mapping if it contains only header names, as in a saved profile; else None."""
        if self.only or self.skip or self.needs or self.within or self.identity or self.ends:
            return None
        if self.aggregated or self.langfuse_usage or any(map(property_key, (*self.mapping, *self.constants))):
            return None
        if any(rule != ColumnRule(first=rule.first[:1]) for rule in self.mapping.values()):
            return None
        return {column: rule.first[0] for column, rule in self.mapping.items()}


def bundled_profiles() -> list[str]:
    """The names of all profiles of the library. Those of costs are only for `reconcile`."""
    return sorted(file.name.removesuffix(".toml") for file in _bundled_files().iterdir() if file.name.endswith(".toml"))


def call_profiles() -> list[str]:
    """The names of the library's profiles for calls."""
    return [name for name in bundled_profiles() if not name.endswith("-costs")]


def profile_directory() -> Path:
    """The directory of the user's saved profiles."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or Path.home() / ".config"
    return Path(home) / "token-tracker" / "profiles"


def find_profile(name: str) -> Profile:
    """The profile with this name, saved or bundled, or in this .toml file. Raises `SettingError`."""
    if name.endswith(".toml") or os.sep in name:
        return _read(Path(name), name)
    saved = profile_directory() / f"{name}.toml"
    if saved.is_file():
        return _read(saved, name)
    if name in bundled_profiles():
        return parse(_bundled_files().joinpath(f"{name}.toml").read_text(encoding="utf-8"), name)
    known = sorted({"tracker-log", *bundled_profiles(), *(file.stem for file in profile_directory().glob("*.toml"))})
    raise SettingError(f"There is no profile {name[:60]!r}; there are: {', '.join(known)}; or use a .toml file.")


def _bundled_files() -> Any:
    return files("tracker.importing").joinpath("profiles")


def _read(path: Path, name: str) -> Profile:
    return parse(read_text(path, "The profile"), name)


def parse(text: str, name: str) -> Profile:
    """Parse a profile's TOML. Raises `SettingError` for a document that is not a profile."""
    document = parse_toml(text, f"The profile {name[:60]!r}")
    if unknown := sorted(set(document) - _KEYS):
        raise SettingError(
            f"The profile {name[:60]!r} has the unknown key {unknown[0]!r}; allowed: {', '.join(sorted(_KEYS))}."
        )
    for key in ("map", "set", "only"):
        if not isinstance(document.get(key, {}), dict):
            raise SettingError(f"In the profile {name[:60]!r}, {key} is not a table.")
    lists = {key: _texts(document.get(key, []), name, key) for key in (*_TEXT_LISTS, "ends")}
    return Profile(
        name,
        title=str(document.get("title", "")),
        source=str(document.get("source", "")),
        timezone=str(document.get("timezone", "UTC")),
        mapping={
            column: parse_rule(given, f"In the profile {name[:60]!r}, {column}")
            for column, given in _with_flat_metadata(document.get("map", {}), OPTIONS).items()
        },
        constants={
            column: str(value) for column, value in _with_flat_metadata(document.get("set", {}), frozenset()).items()
        },
        aggregated=document.get("aggregated") is True,
        only={key: _texts(values, name, "only") for key, values in document.get("only", {}).items()},
        skip=_tables(document.get("skip", []), name, "skip"),
        **lists,
    )


def _with_flat_metadata(table: Mapping[str, Any], options: frozenset[str]) -> dict[str, Any]:
    """The table, with `metadata.KEY` for each key of the table `metadata`, as TOML reads `metadata.team = "TEAM"`."""
    metadata = table.get("metadata")
    if not isinstance(metadata, dict):
        return dict(table)
    flat = {name: value for name, value in table.items() if name != "metadata"}
    if own := {name: value for name, value in metadata.items() if name in options}:
        flat["metadata"] = own
    return flat | {f"metadata.{name}": value for name, value in metadata.items() if name not in options}


def _tables(given: object, name: str, key: str) -> tuple[Mapping[str, tuple[str, ...]], ...]:
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise SettingError(f"In the profile {name[:60]!r}, {key} is not a list of tables.")
    return tuple({column: _texts(values, name, key) for column, values in table.items()} for table in given)


def _texts(given: object, name: str, key: str) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SettingError(f"In the profile {name[:60]!r}, {key} is not a list of texts.")
    return tuple(texts)


def save_profile(name: str, mapping: Mapping[str, str], constants: Mapping[str, str], timezone: str) -> Path:
    """Save a mapping as a profile; return its path. Raises `SettingError`."""
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or len(name) > 60:
        raise SettingError(f"The name of a profile consists of letters, digits, - and _, not {name[:60]!r}.")
    if name in {"tracker-log", *bundled_profiles()}:
        raise SettingError(f"The profile {name!r} is part of Token Tracker; use another name.")
    lines = [f"timezone = {_quoted(timezone)}", "", "[map]"]
    lines += [f"{_quoted(column)} = {_quoted(header)}" for column, header in mapping.items()]
    lines += ["", "[set]", *(f"{_quoted(column)} = {_quoted(value)}" for column, value in constants.items())]
    path = profile_directory() / f"{name}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"The profile can't be saved in {path}: {error.strerror}.") from None
    return path


def _quoted(text: str) -> str:
    """A text as TOML's basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'
