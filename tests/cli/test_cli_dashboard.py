"""token-tracker dashboard: the options that Streamlit gets, the user's own files and variables, and errors."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_support import one_line
from packaging.requirements import Requirement
from support import ROOT

from tracker.cli import main
from tracker.cli.commands import dashboard
from tracker.cli.dashboard_options import DashboardFiles, command_line, find_dashboard, streamlit_options
from tracker.errors import SettingError

DEFAULTS = ROOT / ".streamlit" / "config.toml"
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Computes the options for files of the user: those of the home and of the working directory."""

    def options(
        home: str = "", here: str = "", *, clone: bool = False, given: Any = None, **env: str
    ) -> dict[str, Any]:
        root = tmp_path / "app"
        defaults = root / ".streamlit" / "config.toml" if clone else root / "defaults.toml"
        for path, text in (
            (defaults, DEFAULTS.read_text("utf-8")),
            (tmp_path / "home" / ".streamlit" / "config.toml", home),
            (tmp_path / "here" / ".streamlit" / "config.toml", here),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        files = DashboardFiles(root / "dashboard.py", defaults)
        return streamlit_options(files, given or {}, directory=tmp_path / "here", home=tmp_path / "home", env=env)

    return options


def test_the_defaults_apply_where_the_user_has_set_nothing(build: Build) -> None:
    options = build()
    assert options["server.address"] == "127.0.0.1"
    assert options["theme.base"].endswith("defaults.toml")
    assert options["server.headless"] is True
    assert options["client.showErrorDetails"] == "none"
    assert "server.port" not in options
    assert not any(name.startswith("theme.") and name != "theme.base" for name in options)


def test_the_users_files_and_variables_take_precedence(build: Build) -> None:
    assert "server.address" not in build('[server]\naddress = "0.0.0.0"')
    assert "server.address" not in build(here='[server]\naddress = "0.0.0.0"')
    assert "server.address" not in build(STREAMLIT_SERVER_ADDRESS="0.0.0.0")
    assert "server.address" in build(STREAMLIT_SERVER_ADDRESS="")
    assert "server.fileWatcherType" not in build(STREAMLIT_SERVER_FILE_WATCHER_TYPE="auto")
    assert "theme.base" not in build('[theme]\nbase = "dark"')
    assert "theme.base" not in build(STREAMLIT_THEME_BASE="dark")
    assert "theme.base" in build('[theme.light]\nprimaryColor = "#112233"')
    assert "server.headless" not in build(here="[server]\nheadless = false")
    assert "server.headless" not in build(STREAMLIT_SERVER_HEADLESS="false")


def test_the_command_line_takes_precedence_over_everything(build: Build) -> None:
    given = {"server.address": "::1", "server.headless": False}
    options = build(here='[server]\naddress = "0.0.0.0"\nheadless = true', given=given, STREAMLIT_SERVER_ADDRESS="a")
    assert (options["server.address"], options["server.headless"]) == ("::1", False)


def test_in_a_clone_the_users_values_are_passed_because_the_file_beside_the_script_overrides_them(build: Build) -> None:
    assert set(build(clone=True)) == {"server.headless"}
    home = '[server]\naddress = "::1"\nport = 9000\n[client]\ntoolbarMode = "viewer"'
    options = build(home, '[server]\naddress = "0.0.0.0"\n[theme.light]\nprimaryColor = "#112233"', clone=True)
    assert options == {
        "server.headless": True,
        "server.address": "0.0.0.0",
        "client.toolbarMode": "viewer",
        "theme.light.primaryColor": "#112233",
    }
    assert "server.address" not in build(home, clone=True, STREAMLIT_SERVER_ADDRESS="::1")


def test_a_file_that_is_not_toml_is_named(build: Build, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"here.*config\.toml is not valid TOML"):
        build(here="[server\n")


def test_values_are_written_as_streamlit_reads_them() -> None:
    options = {
        "server.port": 8502,
        "server.headless": True,
        "theme.headingFontWeights": [700, 600],
        "theme.base": "a b",
    }
    assert command_line(options) == [
        "--server.port=8502",
        "--server.headless=true",
        "--theme.headingFontWeights=[700, 600]",
        "--theme.base=a b",
    ]


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["--port", "65536"], ["--port", "x"], ["--address", ""], ["--address", "unix:/tmp/socket"]],
)
def test_invalid_options_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["dashboard", *arguments])
    except SystemExit as error:  # argparse
        status = int(str(error.code))
    assert status == 2
    assert arguments[0] in one_line(capsys.readouterr().err)


def test_missing_packages_exit_2_with_the_command_that_installs_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "_MODULES", ("no_such_module",))
    assert main(["dashboard"]) == 2
    assert 'pip install "token-usage-tracker[dashboard]"' in one_line(capsys.readouterr().err)
    monkeypatch.undo()
    monkeypatch.setattr(dashboard, "MIN_STREAMLIT", (1000, 0))
    assert main(["dashboard"]) == 2
    assert "Streamlit 1000.0 or later" in one_line(capsys.readouterr().err)


def test_the_command_and_the_extra_need_the_same_streamlit() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (need,) = (need for need in map(Requirement, extras["server"]) if need.name == "streamlit")
    assert str(need.specifier) == ">=" + ".".join(map(str, dashboard.MIN_STREAMLIT))


def test_a_clone_has_its_own_dashboard() -> None:
    files = find_dashboard()
    assert (files.script, files.defaults) == (ROOT / "dashboard.py", DEFAULTS)
    assert files.overrides_user
