"""Installed distributions that conflict with this project's name or command.

The name token-tracker on PyPI belongs to another project. Earlier versions of this project had this name, too.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

NAME = "token-usage-tracker"
OTHER_NAME = COMMAND = "token-tracker"
Kind = Literal["other_project", "former_name"]

_TARGET = "tracker.cli:main"
_IMPORT_OF_TARGET = re.compile(rb"(?<![\w.])tracker\.cli\b")


def find_name_conflicts(scripts: Path | None = None) -> tuple[dict[str, Any], ...]:
    """Each conflicting distribution: name, version, kind, and whether it owns the file of the command.

    `scripts` is the directory of this environment's commands. Metadata that can't be read is skipped.
    """
    try:
        return tuple(_conflicts(scripts or Path(sysconfig.get_path("scripts"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged distribution, of any project
        return ()


def _conflicts(scripts: Path) -> Iterator[dict[str, Any]]:
    own_names = {NAME, OTHER_NAME}
    command_is_foreign = _is_foreign(scripts / COMMAND)
    reported: set[str] = set()
    for distribution in (*metadata.distributions(name=OTHER_NAME), *_declaring_distributions(command_is_foreign)):
        name, targets = distribution.name, _targets(distribution)
        kind: Kind = "former_name" if name in own_names and targets == {_TARGET} else "other_project"
        if not name or name in reported or name == NAME or (kind == "former_name" and not _is_installed(NAME)):
            continue
        reported.add(name)
        owns_command = command_is_foreign and (bool(targets - {_TARGET}) or _lists_command(distribution))
        yield {"name": name, "version": distribution.version, "kind": kind, "ownsCommand": owns_command}


def _is_foreign(script: Path) -> bool:
    """Whether the command's file runs another module than this project's."""
    return script.is_file() and not _IMPORT_OF_TARGET.search(script.read_bytes())


def _declaring_distributions(command_is_foreign: bool) -> Iterator[metadata.Distribution]:
    """The distributions that install the command. All records are read only if another project owns its file."""
    if command_is_foreign:
        yield from (found for found in metadata.distributions() if _targets(found) or _lists_command(found))


def _targets(distribution: metadata.Distribution) -> set[str]:
    """What the command of a distribution runs; empty if it has no such command."""
    points = distribution.entry_points.select(group="console_scripts", name=COMMAND)
    return {point.value.replace(" ", "") for point in points}


def _lists_command(distribution: metadata.Distribution) -> bool:
    """Whether the record of a distribution contains the command's file, also one that is not an entry point."""
    return any(file.name == COMMAND and file.parent.name in {"bin", "Scripts"} for file in distribution.files or ())


def _is_installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))
