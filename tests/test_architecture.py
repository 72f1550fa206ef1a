"""docs/architecture.md and CONTRIBUTING.md name files that exist, and list every package."""

from __future__ import annotations

import re

from support import ROOT

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOTS = ("tracker/", "pages/", "tests/", "docs/", "examples/", ".ci/")
MIN_CHANGES = 25


def paths(text: str) -> set[str]:
    """Returns the paths in code spans; a placeholder such as `NAME` ends its path at the folder."""
    spans = re.findall(r"`([^`\s]+)`", text)
    names = {span for span in spans if span.startswith(ROOTS) or re.fullmatch(r"\w+\.(py|md|toml|txt)", span)}
    return {re.sub(r"[^/]*(NAME|NNNN|LANGUAGE).*", "", name) for name in names}


def table(heading: str) -> list[list[str]]:
    """Returns the cells of the table below a heading, without its head."""
    section = ARCHITECTURE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def packages() -> set[str]:
    files = [file for root in ("tracker", "pages") for file in (ROOT / root).rglob("__init__.py")]
    return {f"{file.parent.relative_to(ROOT).as_posix()}/" for file in files}


def test_every_path_in_the_developer_documentation_exists():
    named = paths(ARCHITECTURE) | paths(CONTRIBUTING)
    assert len(named) > 100
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_module_map_lists_every_package_once():
    listed = [row[0].strip("`") for row in table("Module map")]
    assert sorted(listed) == sorted(packages())


def test_the_module_map_lists_every_module_of_the_root_package():
    modules = {f"tracker/{file.name}" for file in (ROOT / "tracker").glob("*.py")}
    assert sorted(modules - paths(ARCHITECTURE)) == []


def test_every_change_names_a_file_and_a_test():
    rows = table("To change X, open Y")
    assert len(rows) >= MIN_CHANGES
    assert [row[0] for row in rows if not paths(row[1]) or not paths(row[2])] == []


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_of_the_documentation_resolves():
    broken = []
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        text = file.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            resolves = target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))
            if not resolves:
                broken.append(f"{file.relative_to(ROOT)}: {link}")
    assert broken == []
