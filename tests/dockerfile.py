"""Reads examples/docker/Dockerfile, so that its steps run without a container engine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from support import ROOT

DOCKERFILE = ROOT / "examples" / "docker" / "Dockerfile"


def instructions(name: str) -> list[str]:
    """Returns the arguments of each instruction with a name, with continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def environment() -> dict[str, str]:
    """Returns the image's variables, without PATH."""
    pairs = (pair.split("=", 1) for line in instructions("ENV") for pair in line.split())
    return {name: value for name, value in pairs if name != "PATH"}


def exec_form(name: str) -> list[str]:
    """Returns the command of an instruction in the exec form, such as CMD; options before it are skipped."""
    (text,) = instructions(name)
    command: list[str] = json.loads(text[text.index("[") :])
    return command


def copy_sources(directory: Path) -> None:
    """Copies what the first stage copies from the build context."""
    for line in instructions("COPY"):
        if line.startswith("--"):
            continue
        *sources, target = line.split()
        for source in sources:
            path = directory / (f"{source}" if target == "./" else target)
            path.parent.mkdir(parents=True, exist_ok=True)
            ignored = shutil.ignore_patterns("__pycache__")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, path, ignore=ignored)
            else:
                shutil.copy(ROOT / source, path)
