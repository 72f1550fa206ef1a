"""What do the pages cost the server at 5 M rows, and how long does a reader wait?

    python -m tests.benchmarks.pages [--rows 5000000] [--readers 50] [--seconds 60]
                                     [--directory DIRECTORY | --database-url URL [--filled]]

`--directory` keeps the embedded server's calls there; the next run uses them again, which saves three minutes.

Three things, each of a dashboard process of its own on an embedded server with PostgreSQL's own settings:

* a rerun of each page (30 days, 5 M calls in 90): CPU of the dashboard's process, and the whole time, medians of 30;
* 50 readers with the Connections page open, refreshing by itself: CPU, memory at the beginning and at the end, and the
  most connections that the dashboard held;
* a browser's first visit: first byte, and until the last chart is drawn (the system's Chromium; left out without one);
  then the same at 1.6 Mbit/s, compared with an empty Streamlit app with three Plotly charts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median, quantiles

import psycopg2

# The tests' own helpers; Python's path holds only the project's root here.
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dashboard"))

from dashboard_support import CHROMIUM, READY, Server, open_browser, start_command

from tests.benchmarks import first_visit
from tests.benchmarks.common import print_table
from tests.benchmarks.readers import Reader
from tests.benchmarks.reports import prepare
from tests.benchmarks.servers import database, run, server

PAGES = {
    "Overview": "",
    "Explorer": "explorer",
    "Connections": "connections",
    "Performance": "performance",
    "Environment": "environment",
    "Test recordings": "recordings",
}
CHARTS = {"": 3, "explorer": 1, "connections": 1, "performance": 2}
RERUNS = 30
OURS = "application_name LIKE 'token-tracker d%' AND datname = current_database()"
# What a first visit waits for: every chart has its drawing.
DRAWN = """least => {
    const charts = [...document.querySelectorAll('.tracker-chart')]
    return charts.length >= least && charts.every(chart => chart.querySelector('.js-plotly-plot .main-svg'))
}"""
DRAWN_WITHIN_S = 60


@contextmanager
def dashboard(url: str) -> Iterator[Server]:
    started = start_command({"DATABASE_URL": url, "GEMINI_API_KEY": ""})
    try:
        yield started
    finally:
        started.process.terminate()
        started.process.wait(timeout=30)


def cpu_s(pid: int) -> float:
    """The CPU time of a process and its threads so far, as POSIX's clock_getcpuclockid knows it."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


async def reruns(served: Server, path: str) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU and of the whole time of each rerun of a page, once it is warm."""
    pid, cpu_ms, whole_ms = served.process.pid, [], []
    async with Reader(served.url, path) as reader:
        for _ in range(3):
            await reader.run()
        if reader.charts < CHARTS.get(path, 0):
            raise SystemExit(f"/{path} shows {reader.charts} charts only: it isn't the page that is to be measured")
        for _ in range(RERUNS):
            began = cpu_s(pid)
            whole_ms.append(await reader.run())
            cpu_ms.append((cpu_s(pid) - began) * 1000)
    return cpu_ms, whole_ms


async def many(served: Server, readers: int, seconds: float) -> tuple[float, float, float, list[float]]:
    """The share of a core, the memory at the beginning and at the end (MB), and how long each refresh took (ms)."""
    pid = served.process.pid
    async with asyncio.TaskGroup() as tasks:
        joined = [Reader(served.url, "connections") for _ in range(readers)]
        starts = time.monotonic() + 15 + readers * 0.3
        ends = starts + seconds

        async def stay(reader: Reader, wait_s: float) -> None:
            await asyncio.sleep(wait_s)
            async with reader:
                await reader.run()
                await reader.stay(starts)
                reader.refreshes_ms.clear()
                await reader.stay(ends)

        for number, reader in enumerate(joined):
            tasks.create_task(stay(reader, number * 0.2 + random.random() * 0.2))
        await asyncio.sleep(starts - time.monotonic())
        began, memory_before, at = cpu_s(pid), memory_mb(pid), time.monotonic()
        await asyncio.sleep(ends - time.monotonic() - 0.5)
        share, memory_after = (cpu_s(pid) - began) / (time.monotonic() - at), memory_mb(pid)
    return share, memory_before, memory_after, [took for reader in joined for took in reader.refreshes_ms]


@contextmanager
def watched(url: str) -> Iterator[list[int]]:
    """How many connections the dashboard holds, looked at ten times a second."""
    seen: list[int] = []
    stopped = threading.Event()

    def watch() -> None:
        with closing(psycopg2.connect(url, application_name="benchmark")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stopped.wait(0.1):
                    cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}")
                    seen.append(int((cursor.fetchone() or (0,))[0]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def first_visits(served: Server) -> list[list[str]]:
    """Milliseconds to the first byte and to the last chart, of a browser that has nothing in its cache."""
    lines = []
    with open_browser() as browser:
        for name, path in PAGES.items():
            context = browser.new_context(timezone_id="Asia/Seoul", locale="en-US")
            page = context.new_page()
            began = time.perf_counter()
            page.goto(f"{served.url}/{path}")
            page.wait_for_selector(READY, timeout=60_000)
            # `wait_for_function` evaluates a text, which the page's policy forbids.
            while not page.evaluate(DRAWN, CHARTS.get(path, 0)):
                if time.perf_counter() - began > DRAWN_WITHIN_S:
                    raise SystemExit(f"/{path} has fewer than {CHARTS[path]} Plotly charts")
                page.wait_for_timeout(20)
            drawn_ms = (time.perf_counter() - began) * 1000
            byte_ms = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
            lines.append([name, f"{byte_ms:.0f}", f"{drawn_ms:,.0f}"])
            context.close()
    return lines


def report(url: str, readers: int, seconds: float) -> None:
    with dashboard(url) as served:
        lines = []
        for name, path in PAGES.items():
            cpu_ms, whole_ms = asyncio.run(reruns(served, path))
            slowest = quantiles(cpu_ms, n=20)[-1]
            lines.append([name, f"{median(cpu_ms):.0f}", f"{slowest:.0f}", f"{median(whole_ms):.0f}"])
        print_table(["rerun of", "CPU p50, ms", "CPU p95, ms", "whole p50, ms"], lines)
    with dashboard(url) as served, watched(url) as connections:
        share, before, after, took_ms = asyncio.run(many(served, readers, seconds))
    cells = [f"{readers}", f"{share:.0%}", f"{before:.0f}", f"{after:.0f}", f"{max(connections)}"]
    print()
    print_table(
        ["readers of Connections", "of a core", "MB at first", "MB at last", "connections at most", "refresh p50, ms"],
        [[*cells, f"{median(took_ms):.0f}"]],
    )
    if CHROMIUM is None:
        print("\nThere is no Chromium on the path for the first visits.")
        return
    with dashboard(url) as served:
        print()
        print_table(["first visit of", "first byte, ms", "last chart drawn, ms"], first_visits(served))
        print()
        print_table(["first visit at 1.6 Mbit/s", "MB", "requests", "last chart drawn, s"], first_visit.compare(served))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database-url", help="a superuser's URL of a server, in place of an embedded one")
    parser.add_argument("--filled", action="store_true", help="that URL's database holds the calls already")
    parser.add_argument("--directory", help="where an embedded server keeps the calls for the next run")
    arguments = parser.parse_args()
    if arguments.filled:
        report(arguments.database_url, arguments.readers, arguments.seconds)
        return
    with ExitStack() as stack:
        url = stack.enter_context(server(arguments.database_url, arguments.directory))
        filled = stack.enter_context(database(url, "pages", keep=bool(arguments.directory)))
        with_password = filled.url.with_password()
        if not run(with_password, "SELECT 1 FROM token_usage LIMIT 1"):
            prepare(filled, arguments.rows)
            run(with_password, "VACUUM ANALYZE")
        report(with_password, arguments.readers, arguments.seconds)


if __name__ == "__main__":
    main()
