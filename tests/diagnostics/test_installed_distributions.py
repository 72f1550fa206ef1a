"""Distributions that conflict with this project's name or command, from metadata as installers write it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.diagnostics.installed_distributions import NAME, OTHER_NAME, find_name_conflicts
from tracker.diagnostics.recommendations import recommend
from tracker.diagnostics.report import build_report

OWN_SCRIPT = "#!/usr/bin/python\nimport sys\nfrom tracker.cli import main\nsys.exit(main())\n"
OTHER_SCRIPT = OWN_SCRIPT.replace("tracker.cli", "token_tracker.cli")
OWN_TARGET, OTHER_TARGET = "tracker.cli:main", "token_tracker.cli:main"
Install = Callable[..., None]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The directory of an environment's commands, with this project's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "token-tracker").write_text(OWN_SCRIPT, encoding="utf-8")
    return directory


@pytest.fixture
def install(tmp_path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Adds a distribution to an environment that has no other one."""
    packages = tmp_path / "lib" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(packages)])

    def add(name: str, target: str = "", record: str = "") -> None:
        directory = packages / f"{name.replace('-', '_')}-1.2.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        (directory / "RECORD").write_text(record, encoding="utf-8")
        if target:
            (directory / "entry_points.txt").write_text(f"[console_scripts]\ntoken-tracker = {target}\n", "utf-8")
        if target == OTHER_TARGET:
            (scripts / "token-tracker").write_text(OTHER_SCRIPT, encoding="utf-8")

    return add


def found(scripts: Path) -> list[tuple[Any, ...]]:
    return [tuple(conflict.values()) for conflict in find_name_conflicts(scripts)]


def test_this_project_alone_has_no_conflict(install: Install, scripts: Path) -> None:
    install(NAME, OWN_TARGET)
    assert found(scripts) == []


def test_another_projects_distribution_is_found(install: Install, scripts: Path) -> None:
    install(NAME, OWN_TARGET)
    install(OTHER_NAME)
    assert found(scripts) == [(OTHER_NAME, "1.2", "other_project", False)]


@pytest.mark.parametrize("name", [OTHER_NAME, "some-other-tool"])
def test_the_owner_of_the_command_is_found_by_its_entry_point(install: Install, scripts: Path, name: str) -> None:
    install(NAME, OWN_TARGET)
    install(name, OTHER_TARGET)
    assert found(scripts) == [(name, "1.2", "other_project", True)]


def test_the_owner_of_the_command_is_found_by_its_record(install: Install, scripts: Path) -> None:
    install(NAME, OWN_TARGET)
    install("a-shell-script", record="../../bin/token-tracker,,\n")
    assert found(scripts) == []  # this project was installed last
    (scripts / "token-tracker").write_text("#!/bin/sh\nexec other\n", encoding="utf-8")
    assert found(scripts) == [("a-shell-script", "1.2", "other_project", True)]


def test_a_command_that_this_project_replaced_is_not_owned(install: Install, scripts: Path) -> None:
    install(NAME, OWN_TARGET)
    install(OTHER_NAME, OTHER_TARGET)
    (scripts / "token-tracker").write_text(OWN_SCRIPT, encoding="utf-8")
    assert found(scripts) == [(OTHER_NAME, "1.2", "other_project", False)]


def test_the_former_name_conflicts_only_beside_the_present_one(install: Install, scripts: Path) -> None:
    install(OTHER_NAME, OWN_TARGET)
    assert found(scripts) == []
    install(NAME, OWN_TARGET)
    assert found(scripts) == [(OTHER_NAME, "1.2", "former_name", False)]


def test_damaged_metadata_is_skipped(install: Install, scripts: Path, tmp_path: Path) -> None:
    install(OTHER_NAME, OTHER_TARGET)
    (directory,) = (tmp_path / "lib" / "site-packages").iterdir()
    (directory / "entry_points.txt").write_bytes(b"[console_scripts]\n\xff = x\n")
    assert found(scripts) == []
    (directory / "entry_points.txt").unlink()
    (directory / "METADATA").unlink()
    assert found(scripts) == []


@pytest.mark.parametrize(
    ("kind", "owns_command", "code"),
    [
        ("other_project", False, "other_project_installed"),
        ("other_project", True, "command_of_other_project"),
        ("former_name", False, "former_name_installed"),
    ],
)
def test_each_conflict_is_a_recommendation_with_a_remedy(kind: str, owns_command: bool, code: str) -> None:
    conflict = {"name": OTHER_NAME, "version": "1.2", "kind": kind, "ownsCommand": owns_command}
    report = {**build_report({}, limit_s=1).as_dict(), "nameConflicts": [conflict]}
    (recommendation,) = (found for found in recommend(report) if found.code == code)
    assert "token-tracker 1.2" in recommendation.evidence
    assert "pip uninstall token-tracker" in recommendation.remedy
