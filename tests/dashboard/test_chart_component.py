"""The chart component outside of a clone: no pyproject.toml beside the pages."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from dashboard_support import start_server
from support import ROOT

from pages.widgets.chart_component import manifests


def test_pyproject_declares_the_component_that_the_pages_register() -> None:
    (manifest, root), _plotly = manifests()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = project["tool"]["streamlit"]["component"]["components"]
    assert manifest.name == project["project"]["name"]
    assert [entry["name"] for entry in declared] == [component.name for component in manifest.components]
    for entry, component in zip(declared, manifest.components, strict=True):
        assert component.asset_dir
        assert (root / component.asset_dir).samefile(ROOT / entry["asset_dir"])


def test_the_component_is_served_from_a_directory_with_the_dashboard_only(tmp_path: Path) -> None:
    directory = tmp_path / "with a space"
    shutil.copytree(ROOT / "pages", directory / "pages")
    shutil.copy(ROOT / "dashboard.py", directory)
    server = start_server({"_SCRIPT": str(directory / "dashboard.py"), "DATABASE_URL": "postgresql://127.0.0.1:1/none"})
    try:
        for file in (
            "token-usage-tracker.chart/chart.js",
            "token-usage-tracker.chart/chart.css",
            "plotly.bundle/plotly.min.js",
        ):
            status, text = server.get(f"/_stcore/bidi-components/{file}")
            assert (status, len(text) > 1000) == (200, True), file
    finally:
        server.process.terminate()
        server.process.wait(timeout=20)
    assert server.unforeseen() == ""
