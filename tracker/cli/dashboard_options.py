"""The Streamlit options of `token-tracker dashboard`: the project's defaults, except where the user has set a value.

Streamlit reads the user's `.streamlit/config.toml` (of the working directory, then of the home directory) and the
STREAMLIT_ variables itself. An option on its command line overrides both, so an option is passed only if it is needed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tracker
from tracker.errors import SettingError, TrackerError

Options = dict[str, Any]
"""Values of Streamlit options by their dotted names."""

_CONFIG = Path(".streamlit", "config.toml")


class DashboardFiles(NamedTuple):
    """The dashboard's script, and the file with its default options."""

    script: Path
    defaults: Path

    @property
    def overrides_user(self) -> bool:
        """Whether Streamlit reads the defaults itself, after the user's files: it does in a clone."""
        return self.defaults == self.script.parent / _CONFIG


def find_dashboard() -> DashboardFiles:
    """The dashboard in the installed package, or in the clone of an editable installation. Raises `TrackerError`."""
    package = Path(tracker.__file__).absolute().parent
    installed = package / "_dashboard"
    for files in (
        DashboardFiles(installed / "dashboard.py", installed / "defaults.toml"),
        DashboardFiles(package.parent / "dashboard.py", package.parent / _CONFIG),
    ):
        if files.script.is_file() and (files.script.parent / "pages" / "shell.py").is_file():
            return files
    raise TrackerError(
        f"The dashboard's files are not in {installed}. Install the package again:"
        ' pip install --force-reinstall --no-deps "token-usage-tracker[dashboard]".'
    )


def streamlit_options(
    files: DashboardFiles, given: Mapping[str, Any], *, directory: Path, home: Path, env: Mapping[str, str]
) -> Options:
    """The options to pass to Streamlit. `given` are those of the command line. Raises `SettingError`."""
    defaults = _read_options(files.defaults)
    user = _user_options(files, (home / _CONFIG, directory / _CONFIG))
    is_set = {*user, *(name for name in (*defaults, "server.headless", "theme.base") if env.get(_variable(name)))}
    options: Options = {"server.headless": True}
    if files.overrides_user:
        # Streamlit gives the file beside the script precedence over the user's files.
        options |= {name: value for name, value in user.items() if name in defaults and not env.get(_variable(name))}
    else:
        options |= {name: value for name, value in defaults.items() if not name.startswith("theme.")}
        options["theme.base"] = str(files.defaults)
        options = {name: value for name, value in options.items() if name not in is_set}
    if "server.headless" in is_set:
        options.pop("server.headless", None)
    return {**options, **given}


def command_line(options: Mapping[str, Any]) -> list[str]:
    """The options as arguments of `streamlit run`.

    >>> command_line({"server.port": 8502, "server.headless": True})
    ['--server.port=8502', '--server.headless=true']
    """
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]


def _user_options(files: DashboardFiles, paths: tuple[Path, ...]) -> Options:
    options: Options = {}
    for path in paths:
        if path.is_file() and not path.samefile(files.defaults):
            options |= _read_options(path)
    return options


def _read_options(path: Path) -> Options:
    try:
        return dict(_flatten(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is not valid TOML: {error}. Correct the file, or remove it.") from None


def _flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _variable(name: str) -> str:
    """The environment variable of an option.

    >>> _variable("server.fileWatcherType")
    'STREAMLIT_SERVER_FILE_WATCHER_TYPE'
    """
    return "STREAMLIT_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace(".", "_")).upper()
