"""Prints styled lines in colors with rich (extra `[terminal]`)."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tracker.cli.usage_table import Line

_STYLES = {"": "", "heading": "bold", "bar": "blue", "name": "cyan"}


def print_colored(lines: Sequence[Line]) -> None:
    """Print the lines in colors. Their texts contain no control characters; rich adds those of the colors."""
    output = io.StringIO()
    # The lines fit the terminal already, so rich must not wrap them.
    console = Console(file=output, force_terminal=True, highlight=False, emoji=False, markup=False)
    for line in lines:
        styled = Text(no_wrap=True, end="")
        for text, style in line:
            styled.append(text, style=_STYLES[style])
        styled.rstrip()
        console.print(styled, soft_wrap=True)
    # The streams of the commands escape control characters.
    write = getattr(sys.stdout, "write_raw", sys.stdout.write)
    write(output.getvalue())
