"""Profiles: how an export's values become our columns. A TOML file each; docs/sources.md shows one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from tracker.errors import SettingError
from tracker.importing.profile_rules import ColumnRule, rule
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
    """What a file holds and what becomes of it.

    `mapping` has a rule a column, `constants` a value for every row. A record counts only where each name in `only`
    has one of its values and each in `needs` has any, unless all names of a table in `skip` have one of theirs.
    `within` names the lists that records lie in. `identity` are the names that tell a record from others, so that it
    keeps its id when its figures change; `ends` is the time by which it must be over. `aggregated` records are sums of
    many calls, which no price can be found for. `langfuse_usage` names the values that can be Langfuse's usage; what is
    read of the first is the object `counted` for the mapping.
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
        """The mapping, where it is nothing but names of headers, as in a profile that was saved; else None."""
        if self.only or self.skip or self.needs or self.within or self.identity or self.ends:
            return None
        if self.aggregated or self.langfuse_usage:
            return None
        if any(rule != ColumnRule(first=rule.first[:1]) for rule in self.mapping.values()):
            return None
        return {column: rule.first[0] for column, rule in self.mapping.items()}


def bills() -> list[str]:
    """The names of all profiles that come with the library; those of costs are only for bills."""
    return sorted(file.name.removesuffix(".toml") for file in _ready_files().iterdir() if file.name.endswith(".toml"))


def ready() -> list[str]:
    """The names of those that calls can be imported with."""
    return [name for name in bills() if not name.endswith("-costs")]


def directory() -> Path:
    """Where a user's own profiles lie."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or Path.home() / ".config"
    return Path(home) / "token-tracker" / "profiles"


def find(name: str) -> Profile:
    """The profile of a name, one's own or one that comes along, or in a file. Raises `SettingError`."""
    if name.endswith(".toml") or os.sep in name:
        return _read(Path(name), name)
    own = directory() / f"{name}.toml"
    if own.is_file():
        return _read(own, name)
    if name in bills():
        return parse(_ready_files().joinpath(f"{name}.toml").read_text(encoding="utf-8"), name)
    known = sorted({"tracker-log", *bills(), *(file.stem for file in directory().glob("*.toml"))})
    raise SettingError(f"There is no profile {name[:60]!r}; there are: {', '.join(known)}; or name a .toml file.")


def _ready_files() -> Any:
    return files("tracker.importing").joinpath("profiles")


def _read(path: Path, name: str) -> Profile:
    return parse(read_text(path, "The profile"), name)


def parse(text: str, name: str) -> Profile:
    """A profile's TOML. Raises `SettingError` for a document that is no profile."""
    document = parse_toml(text, f"The profile {name[:60]!r}")
    if unknown := sorted(set(document) - _KEYS):
        raise SettingError(f"The profile {name[:60]!r} holds {unknown[0]!r}; it may hold {', '.join(sorted(_KEYS))}.")
    for key in ("map", "set", "only"):
        if not isinstance(document.get(key, {}), dict):
            raise SettingError(f"In the profile {name[:60]!r}, {key} is no table.")
    lists = {key: _texts(document.get(key, []), name, key) for key in (*_TEXT_LISTS, "ends")}
    return Profile(
        name,
        title=str(document.get("title", "")),
        source=str(document.get("source", "")),
        timezone=str(document.get("timezone", "UTC")),
        mapping={
            column: rule(given, f"In the profile {name[:60]!r}, {column}")
            for column, given in document.get("map", {}).items()
        },
        constants={column: str(value) for column, value in document.get("set", {}).items()},
        aggregated=document.get("aggregated") is True,
        only={key: _texts(values, name, "only") for key, values in document.get("only", {}).items()},
        skip=_tables(document.get("skip", []), name, "skip"),
        **lists,
    )


def _tables(given: object, name: str, key: str) -> tuple[Mapping[str, tuple[str, ...]], ...]:
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise SettingError(f"In the profile {name[:60]!r}, {key} is not a list of tables.")
    return tuple({column: _texts(values, name, key) for column, values in table.items()} for table in given)


def _texts(given: object, name: str, key: str) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SettingError(f"In the profile {name[:60]!r}, {key} is no list of texts.")
    return tuple(texts)


def save(name: str, mapping: Mapping[str, str], constants: Mapping[str, str], timezone: str) -> Path:
    """Keep a mapping under a name, for the next file of the kind; where it lies now. Raises `SettingError`."""
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or len(name) > 60:
        raise SettingError(f"A profile's name is made of letters, digits, - and _, not {name[:60]!r}.")
    if name in {"tracker-log", *bills()}:
        raise SettingError(f"The profile {name!r} comes with Token Tracker; take another name.")
    lines = [f"timezone = {_quoted(timezone)}", "", "[map]"]
    lines += [f"{column} = {_quoted(header)}" for column, header in mapping.items()]
    lines += ["", "[set]", *(f"{column} = {_quoted(value)}" for column, value in constants.items())]
    path = directory() / f"{name}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"The profile can't be kept in {path}: {error.strerror}.") from None
    return path


def _quoted(text: str) -> str:
    """A text as TOML's basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'
