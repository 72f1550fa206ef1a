"""How much CPU time does a scrape of GET /metrics take at 5 M rows, and how many connections does it use?

    python -m tests.benchmarks.metrics [--rows 5000000] [--directory DIRECTORY | --database-url URL]

`--directory` keeps the embedded server's calls there, as in `tests.benchmarks.pages`. Medians of 30 scrapes without the
route's cache: CPU time of the dashboard's process, CPU time of all server processes, and the whole time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client.openmetrics.exposition import generate_latest

from tests.benchmarks.common import print_table
from tests.benchmarks.reports import prepare
from tests.benchmarks.servers import database, server
from tracker.database.connect import execute
from tracker.database.locate import Database
from tracker.metrics.collector import MetricsCollector
from tracker.reports.engine.reader import Reader

SCRAPES = 30
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
OURS = "application_name LIKE 'token-tracker d%' AND datname = current_database()"


class _Families:
    def __init__(self, collector: MetricsCollector) -> None:
        self._families = list(collector.collect())

    def collect(self) -> list[object]:
        return self._families


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--directory")
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    with (
        server(arguments.database_url, arguments.directory) as url,
        database(url, "pages", keep=bool(arguments.directory)) as target,
    ):
        if not _rows(target, "SELECT 1 FROM token_usage LIMIT 1"):
            prepare(target, arguments.rows)
        print_table(("measure", "median"), list(_measure(target)))


def _measure(target: Database) -> Iterator[tuple[str, str]]:
    reader = Reader(target)
    collector = MetricsCollector(lambda: reader)
    _scrape(collector)
    time.sleep(6)  # the refresh of the rollups that the first scrape started
    own, all_processes, whole, connections = [], [], [], set()
    for _ in range(SCRAPES):
        postgres_before, own_before, started = _postgres_ms(target), time.process_time(), time.perf_counter()
        text = _scrape(collector)
        whole.append((time.perf_counter() - started) * 1000)
        own.append((time.process_time() - own_before) * 1000)
        all_processes.append(_postgres_ms(target) - postgres_before)
        connections.add(_rows(target, f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}")[0][0])
    reader.close()
    yield "rows", f"{_rows(target, 'SELECT count(*) FROM token_usage')[0][0]:,}"
    yield "samples", f"{sum(not line.startswith(b'#') for line in text.splitlines()):,}"
    yield "CPU of the dashboard, ms", f"{median(own):.1f}"
    yield "CPU of the server (mean of ticks), ms", f"{sum(all_processes) / SCRAPES:.1f}"
    yield "whole, ms", f"{median(whole):.1f}"
    yield "connections", str(max(connections))


def _rows(target: Database, query: str) -> list[tuple[Any, ...]]:
    with closing(target.connect()) as connection:
        return execute(connection, query)[1]


def _scrape(collector: MetricsCollector) -> bytes:
    text: bytes = generate_latest(_Families(collector))
    return text


def _postgres_ms(target: Database) -> float:
    """The CPU time of the server's processes until now, ended ones included."""
    directory = Path(_rows(target, "SHOW data_directory")[0][0])
    postmaster = int((directory / "postmaster.pid").read_text().splitlines()[0])
    total = _ticks(postmaster, with_ended=True)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(entry) == postmaster:
            total += _ticks(int(entry.name), with_ended=False)
    return total * _TICK_MS


def _fields(pid: int | str) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _parent(entry: Path) -> int:
    fields = _fields(entry.name)
    return int(fields[1]) if fields else 0


def _ticks(pid: int, *, with_ended: bool) -> int:
    fields = _fields(pid)
    return sum(map(int, fields[11 : 15 if with_ended else 13])) if fields else 0


if __name__ == "__main__":
    main()
