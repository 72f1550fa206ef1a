"""Reads a .env file that a platform's CLI wrote, for example `vercel env pull`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tracker.small_files import read_text

_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*
    (?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\r\n]*))""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_LOCAL_PATHS = ("HOME", "PATH", "TMPDIR", "XDG_STATE_HOME")


def read_env_file(path: Path) -> dict[str, str]:
    """The file's variables. Raises `SettingError` when it can't be read; the error contains no value of the file."""
    return parse(read_text(path, "--env-file"))


def parse(text: str) -> dict[str, str]:
    r"""The variables in the text of a .env file.

    Escapes work within double quotes. A comment may follow an unquoted value after a space.

    >>> parse('A=1 # one\nexport B="two\\n"\n# C=3')
    {'A': '1', 'B': 'two\n'}
    """
    variables: dict[str, str] = {}
    for match in _LINE.finditer(text):
        name, double_quoted, single_quoted, bare = match.groups()
        if double_quoted is not None:
            variables[name] = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), double_quoted, flags=re.DOTALL)
        elif single_quoted is not None:
            variables[name] = single_quoted
        else:
            variables[name] = re.split(r"[ \t]#|^#", bare, maxsplit=1)[0].strip()
    return variables


def deployed_environment(pulled: Mapping[str, str], local: Mapping[str, str]) -> dict[str, str]:
    """The environment that a pulled file describes: its variables, with this machine's paths and nothing else."""
    paths = {name: local[name] for name in _LOCAL_PATHS if name in local}
    return {**paths, **pulled}
