"""The built distributions: their metadata and files, and the commands and the dashboard after an installation."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dockerfile
import pytest
from dashboard_support import PAGES, READY, Server, free_port, open_page, start_process
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import expect
from support import ROOT, child_environment, rows, value
from tabs import Tabs

from tracker.auth.password_hash import hash_password
from tracker.database.migrations import VERSIONS

NAME = "token-usage-tracker"
OTHER_PROJECT = "token-tracker"
CORE = {"psycopg2-binary", "tenacity"}
PASSWORD_HASH = str(hash_password("a long password"))
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "dashboard.py", "pages", "tracker", ".streamlit")


class Distributions:
    """The wheel and the sdist, built once for the module, the wheel from the sdist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        run_command(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT))
        (self.wheel,) = directory.glob("*.whl")
        (self.sdist,) = directory.glob("*.tar.gz")

    def wheel_files(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def metadata(self) -> Any:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return message_from_bytes(archive.read(name))


class Installation:
    """A new environment in a path with spaces, with one distribution and the dependencies of the test environment."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.home = directory / "an environment"
        run_command(sys.executable, "-m", "venv", "--without-pip", str(self.home))
        self.python = self.home / "bin" / "python"
        (self.packages,) = self.home.glob("lib/python*/site-packages")
        complete = [path for path in sys.path if path.endswith("site-packages")]
        (self.packages / "dependencies.pth").write_text("\n".join(complete) + "\n", encoding="utf-8")
        self.command = str(self.home / "bin" / "token-tracker")
        self.install(*arguments)

    def install(self, *arguments: str) -> None:
        options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
        run_command(str(self.python), "-m", "pip", "install", *options, *arguments)

    def hashes(self) -> dict[str, str]:
        """The hash of each installed file, by its path."""
        (record,) = self.packages.glob("token_usage_tracker-*.dist-info/RECORD")
        with record.open(encoding="utf-8", newline="") as file:
            return {path: digest for path, digest, _size in csv.reader(file) if path.startswith("tracker/")}


def run_command(*command: str, directory: Path = ROOT, env: dict[str, str] | None = None, timeout: float = 170) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, cwd=directory, env=env or isolated({})
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def isolated(env: dict[str, str]) -> dict[str, str]:
    """The environment of a process that does not find the work tree."""
    return {**child_environment(env), "PYTHONPATH": env.get("PYTHONPATH", "")}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return Distributions(tmp_path_factory.mktemp("built distributions"))


@pytest.fixture(scope="module")
def wheel(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("from the wheel"), str(distributions.wheel))


@pytest.fixture(scope="module")
def sdist(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("from the sdist"), str(distributions.sdist))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts `token-tracker dashboard` of an installation in another directory."""
    started: list[Server] = []

    def start_it(
        installation: Installation | None, *, base: str = "", port: int = 0, command: Sequence[str] = (), **env: str
    ) -> Server:
        port = port or free_port()
        if installation and not command:
            command = [installation.command, "dashboard", "--port", str(port)]
        environment = isolated({"HOME": str(tmp_path / "home"), **env})
        started.append(start_process(command, port, environment, directory=tmp_path, base=base))
        return started[-1]

    yield start_it
    for server in started:
        server.process.terminate()
        server.process.wait(timeout=20)


# --- metadata and files -------------------------------------------------------------------------------------------


def test_no_extra_needs_the_other_projects_distribution(distributions: Distributions) -> None:
    metadata = distributions.metadata()
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    extras = metadata.get_all("Provides-Extra")
    assert canonicalize_name(metadata["Name"]) == NAME
    assert {"alerts", "all", "dashboard", "dev", "login", "prices", "server", "xlsx"} <= set(extras)
    needed = {extra: distributions_of(extra, requirements) for extra in ["", *extras]}
    assert {extra for extra, names in needed.items() if OTHER_PROJECT in names} == set()
    assert needed[""] == CORE
    assert needed["all"] == set.union(*(needed[extra] for extra in extras if extra not in {"all", "dev"}))


def distributions_of(extra: str, requirements: list[Requirement]) -> set[str]:
    """Returns each distribution that an extra needs, also through an extra of this project itself."""
    chosen = [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": extra})]
    names = {canonicalize_name(need.name) for need in chosen} - {NAME}
    nested = [name for need in chosen if canonicalize_name(need.name) == NAME for name in need.extras]
    return names.union(*(distributions_of(name, requirements) for name in nested))


def test_no_file_requires_the_other_projects_distribution() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [
        name for name in listed.splitlines() if name.endswith((".md", ".txt", ".toml", ".py", ".yaml", ".yml", ".po"))
    ]
    line, command = rf"^{OTHER_PROJECT}\s*(==|[@<>~!\[;]|$)", rf"install\b.*[\s\"']{OTHER_PROJECT}[\"'\[=@ ]"
    pattern = re.compile(rf"{line}|{command}|{OTHER_PROJECT}\[", re.MULTILINE)
    found = {
        name: match.group()
        for name in names
        if not name.startswith("tests/") and (match := pattern.search((ROOT / name).read_text(encoding="utf-8")))
    }
    assert found == {}


def test_the_wheel_has_every_file_in_one_package(distributions: Distributions) -> None:
    files = distributions.wheel_files()
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"tracker"}
    assert not any(".streamlit" in name or "__pycache__" in name for name in files)
    packaged = {
        f"tracker/_dashboard/{name}" if root == "pages" else name
        for root in ("tracker", "pages")
        for path in (ROOT / root).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        for name in [path.relative_to(ROOT).as_posix()]
    }
    assert packaged | {"tracker/_dashboard/dashboard.py", "tracker/_dashboard/defaults.toml"} == {
        name for name in files if ".dist-info/" not in name
    }
    assert "tracker/py.typed" in files


def test_the_sdist_has_what_the_wheel_is_built_from_and_no_tests(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {".streamlit/config.toml", "dashboard.py", "pages/shell.py", "tracker/py.typed", "LICENSE"} <= names
    assert not any(name.startswith(("tests/", ".ci/", "docs/")) for name in names)


# --- installed ----------------------------------------------------------------------------------------------------


def record_one_call(installation: Installation, url: str, directory: Path) -> None:
    """Migrates the database, records one call, and imports another."""
    (directory / "calls.csv").write_text("created_at,model,input_tokens,output_tokens\n2026-03-01,gpt,10,5\n")
    env = isolated({"DATABASE_URL": url})
    for arguments in (
        ["migrate"],
        ["record", "--model", "m", "--input-tokens", "1", "--output-tokens", "2"],
        ["import", "calls.csv"],
        ["sample-data", "--remove"],
    ):
        run_command(installation.command, *arguments, directory=directory, env=env)
    assert rows(url, "SELECT model FROM token_usage ORDER BY 1") == [("gpt",), ("m",)]
    assert value(url, "SELECT count(*) FROM token_tracker_migrations") == len(VERSIONS)


def write_user_files(directory: Path) -> None:
    """Writes a user's own Streamlit options, and a package `pages` that must not be imported."""
    (directory / ".streamlit").mkdir()
    options = '[server]\nbaseUrlPath = "tokens"\n[theme.light]\nbackgroundColor = "#fefefa"\n'
    (directory / ".streamlit" / "config.toml").write_text(options, encoding="utf-8")
    (directory / "pages").mkdir()
    (directory / "pages" / "__init__.py").write_text("raise RuntimeError('the pages of the user')\n", encoding="utf-8")


def colors(page: Any) -> list[str]:
    ids = ("stApp", "stSidebar")
    style = "id => getComputedStyle(document.querySelector(`[data-testid=${id}]`)).backgroundColor"
    return [page.evaluate(style, test_id) for test_id in ids]


@pytest.mark.browser
def test_the_wheel_records_calls_and_shows_every_page(
    wheel: Installation, empty_database_url: str, tmp_path: Path, tabs: Tabs, start: Callable[..., Server]
) -> None:
    record_one_call(wheel, empty_database_url, tmp_path)
    write_user_files(tmp_path)
    server = start(wheel, DATABASE_URL=empty_database_url, base="/tokens", PYTHONPATH=str(tmp_path))
    page = tabs.open(locale="ko-KR", timezone_id="Asia/Seoul")
    open_page(page, f"{server.url}/tokens/calls")
    links = page.get_by_test_id("stSidebarNavLink")
    addresses = {f"{server.url}/tokens/{name}" for name in PAGES}
    assert {link.get_attribute("href") for link in links.all()} == addresses
    for link in links.all():
        link.click()
        expect(page).to_have_url(re.compile(re.escape(str(link.get_attribute("href"))) + r"(\?|$)"))
        page.wait_for_selector(READY)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0, page.url
    # The user's color and the project's own are both in the theme, and the catalogs are installed.
    assert colors(page) == ["rgb(254, 254, 250)", "rgb(247, 248, 251)"]
    assert re.search("[가-힣]", page.get_by_test_id("stSidebar").inner_text())
    assert server.get("/api/health")[0] == 200
    assert server.get("/tokens/_stcore/bidi-components/token-usage-tracker.chart/chart.js")[0] == 200
    assert server.unforeseen() == ""


def test_the_sdist_installs_the_files_of_the_wheel_and_runs_as_the_container_does(
    wheel: Installation, sdist: Installation, empty_database_url: str, tmp_path: Path, start: Callable[..., Server]
) -> None:
    """The database comes from a secret's file, and the sign-in from the example of Streamlit Community Cloud."""
    assert sdist.hashes() == wheel.hashes() != {}
    record_one_call(sdist, empty_database_url, tmp_path)
    (tmp_path / "database_url").write_text(f"{empty_database_url}\n", encoding="utf-8")
    example = (ROOT / "examples" / "streamlit_cloud" / "secrets.toml.example").read_text(encoding="utf-8")
    (tmp_path / ".streamlit").mkdir()
    secrets = re.sub('"scrypt:[^"]*"', f'"{PASSWORD_HASH}"', re.sub("(?m)^DATABASE_URL.*$", "", example))
    (tmp_path / ".streamlit" / "secrets.toml").write_text(secrets, encoding="utf-8")
    port = free_port()
    env = {**dockerfile.environment(), "PORT": str(port), "SECRETS_DIRECTORY": str(tmp_path)}
    env["PATH"] = f"{sdist.python.parent}:{os.environ['PATH']}"
    server = start(sdist, port=port, command=container_command(), **env)
    assert [server.get(path)[0] for path in ("/", "/api/health")] == [401, 200]
    run_command(*dockerfile.exec_form("HEALTHCHECK"), directory=tmp_path, env=isolated(env))
    assert server.unforeseen() == ""


def container_command() -> list[str]:
    """The image's entry point and command."""
    (script,) = dockerfile.exec_form("ENTRYPOINT")
    return [str(dockerfile.DOCKERFILE.with_name(script)), *dockerfile.exec_form("CMD")]


def test_the_files_that_the_image_copies_build_the_wheel(distributions: Distributions, tmp_path: Path) -> None:
    dockerfile.copy_sources(tmp_path / "source")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path))
    run_command(sys.executable, *build, str(tmp_path / "source"))
    (built,) = tmp_path.glob("*.whl")
    assert built.read_bytes() == distributions.wheel.read_bytes()


@pytest.mark.browser
def test_an_editable_installation_runs_the_files_of_the_clone(
    database_url: str, tmp_path: Path, tabs: Tabs, start: Callable[..., Server]
) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    editable = Installation(tmp_path, "--editable", str(clone))
    page_file = clone / "pages" / "overview.py"
    text = page_file.read_text(encoding="utf-8")
    page_file.write_text(text.replace("\nmain()\n", '\nst.text("An edited page")\nmain()\n'), encoding="utf-8")
    write_user_files(tmp_path)
    server = start(editable, DATABASE_URL=database_url, base="/tokens")
    page = tabs.open(locale="en-US")
    open_page(page, f"{server.url}/tokens/")
    assert page.get_by_text("An edited page").count() == 1
    assert colors(page) == ["rgb(254, 254, 250)", "rgb(247, 248, 251)"]
    assert server.unforeseen() == ""


def test_doctor_names_another_project_that_replaced_the_command(
    sdist: Installation, database_url: str, tmp_path: Path
) -> None:
    project = tmp_path / "another project"
    (project / "token_tracker").mkdir(parents=True)
    (project / "token_tracker" / "__init__.py").write_text("def main(): print('another project')\n", encoding="utf-8")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{OTHER_PROJECT}"\nversion = "0.5.9"\nscripts = {{token-tracker = "token_tracker:main"}}\n',
        encoding="utf-8",
    )
    sdist.install(str(project))
    assert run_command(sdist.command) == "another project\n"
    env = isolated({"DATABASE_URL": database_url})
    output = run_command(str(sdist.python), "-m", "tracker", "doctor", directory=tmp_path, env=env)
    assert "The command token-tracker in this environment belongs to another project." in output
    assert "pip uninstall token-tracker" in output


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_images_steps_install_the_dashboard_from_the_package_index(
    empty_database_url: str, tmp_path: Path, start: Callable[..., Server]
) -> None:
    """The RUN instruction of the first stage, with a directory of this test for /opt/tracker."""
    dockerfile.copy_sources(tmp_path / "source")
    target = tmp_path / "tracker"
    steps = dockerfile.instructions("RUN")[0].replace("/opt/tracker", str(target))
    run_command("sh", "-euc", steps, directory=tmp_path / "source", timeout=900)
    env = {**dockerfile.environment(), "PATH": f"{target / 'bin'}:{os.environ['PATH']}"}
    run_command("token-tracker", "migrate", env=isolated({**env, "DATABASE_URL": empty_database_url}))
    port = free_port()
    env |= {"PORT": str(port), "DATABASE_URL": empty_database_url, "TRACKER_DASHBOARD_OPEN": "true"}
    server = start(None, port=port, command=container_command(), **env)
    assert [server.get(path)[0] for path in ("/", "/api/health")] == [200, 200]
    assert server.unforeseen() == ""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_wheel_installs_with_its_dependencies_from_the_package_index(
    distributions: Distributions, empty_database_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "a real environment"
    run_command(sys.executable, "-m", "venv", str(home))
    pip = (str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    run_command(*pip, "install", "--quiet", str(distributions.wheel))
    listed = json.loads(run_command(*pip, "list", "--format=json"))
    assert {entry["name"].lower() for entry in listed} - {"pip", "setuptools"} == {NAME, *CORE}
    env = isolated({"DATABASE_URL": empty_database_url})
    run_command(str(home / "bin" / "token-tracker"), "migrate", directory=tmp_path, env=env)
