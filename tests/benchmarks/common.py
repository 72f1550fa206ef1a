"""What the benchmarks share: a server of their own, interleaved runs, a table."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

# The tests' own helpers; Python's path holds only the project's root here.
sys.path.insert(0, str(Path(__file__).parent.parent))

from support import connect

from tracker.database import embedded
from tracker.database.migrate import migrate


@contextmanager
def server() -> Iterator[str]:
    """A fresh PostgreSQL with the table; its URL."""
    directory = Path(tempfile.mkdtemp(prefix="tracker-benchmark-"))
    url = f"postgresql://postgres@/postgres?host={quote(embedded.start(str(directory)).host)}"
    migrate(lambda: connect(url))
    try:
        yield url
    finally:
        embedded.stop(str(directory))
        shutil.rmtree(directory, ignore_errors=True)


def interleaved(rounds: int, *ways: Callable[[], float]) -> list[list[float]]:
    """The measures of several ways, taken in turn, so that a busy moment of the machine hits all of them."""
    measures: list[list[float]] = [[] for _ in ways]
    for number in range(rounds):
        order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
        for way in order:
            measures[way].append(ways[way]())
    return measures


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def print_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for line in lines:
        print("| " + " | ".join(line) + " |")
