"""SECURITY.md names existing tests."""

from __future__ import annotations

import re

from support import ROOT

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_named_test_exists():
    names = set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)`", TEXT))
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(names) > 10
    for name in names:
        assert (ROOT / name).exists() if "/" in name else name in there, name
