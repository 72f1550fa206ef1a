"""The variables that a platform's CLI has pulled into a file (`vercel env pull`): read as such tools write them."""

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


def read_env_file(path: Path) -> dict[str, str]:
    """The file's variables. Raises `SettingError` when it can't be read; no value is ever in its text."""
    return parse(read_text(path, "--env-file"))


def parse(text: str) -> dict[str, str]:
    r"""The variables of a .env file's text; escapes count within double quotes, a comment may follow after a space.

    >>> parse('A=1 # one\nexport B="two\\n"\n# C=3')
    {'A': '1', 'B': 'two\n'}
    """
    found: dict[str, str] = {}
    for match in _LINE.finditer(text):
        name, double, single, bare = match.groups()
        if double is not None:
            found[name] = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), double, flags=re.DOTALL)
        elif single is not None:
            found[name] = single
        else:
            found[name] = re.split(r"[ \t]#|^#", bare, maxsplit=1)[0].strip()
    return found


def deployed_environment(pulled: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment that the file describes: its variables alone, with this machine's paths."""
    kept = {name: own[name] for name in ("HOME", "PATH", "TMPDIR", "XDG_STATE_HOME") if name in own}
    return {**kept, **pulled}
