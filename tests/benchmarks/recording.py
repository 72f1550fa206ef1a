"""What recording costs the caller, next to the plainest thing that could be done instead, in the same run.

python -m tests.benchmarks.recording
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2

from tests.benchmarks.common import interleaved, median, print_table, server
from tracker import TokenUsage, Tracker

sys.path.insert(0, str(Path(__file__).parent.parent))
from faults import Proxy

BATCH = 50
ROUNDS = 30
DRAINED = 20_000
Line = tuple[str, str, str, str]


def usage() -> TokenUsage:
    return TokenUsage(
        model="gemini-2.5-flash", input_tokens=812, output_tokens=164, user_id="u_42", operation="summary_generation"
    )


def timed_each(work: Callable[[TokenUsage], Any]) -> Callable[[], float]:
    """Microseconds a call, the median of a batch; the usages are made before."""

    def batch() -> float:
        usages = [usage() for _ in range(BATCH)]
        took = []
        for each in usages:
            started = time.perf_counter()
            work(each)
            took.append((time.perf_counter() - started) * 1e6)
        return median(took)

    return batch


def the_row(recorder: Tracker, call: TokenUsage) -> dict[str, Any]:
    """The very columns that the recorder stores."""
    row = {**recorder._instance.row(call, "direct"), "sequence": 1, "connection_ms": 0.01, "retry_count": 0}
    return {name: json.dumps(v) if isinstance(v, dict) else v if v is None else str(v) for name, v in row.items()}


def raw_insert(url: str, recorder: Tracker) -> Callable[[TokenUsage], None]:
    """The plainest autocommit insert of the same columns on one open connection."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    names = list(the_row(recorder, usage()))
    text = f"INSERT INTO token_usage ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"

    def insert(call: TokenUsage) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text, list(the_row(recorder, call).values()))

    return insert


def earlier_way(url: str) -> Callable[[TokenUsage], None]:
    """What the app did before: a SELECT 1, then an insert in a transaction."""
    connection = psycopg2.connect(url)

    def insert(call: TokenUsage) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            connection.commit()
            cursor.execute(
                "INSERT INTO token_usage (user_id, model, operation, input_tokens, output_tokens, total_tokens)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (call.user_id, call.model, call.operation, call.input_tokens, call.output_tokens, call.total_tokens),
            )
        connection.commit()

    return insert


def direct(url: str) -> list[Line]:
    with Tracker(mode="direct", database_url=url, log_records=False) as recorder:
        insert = raw_insert(url, recorder)
        recorder.record(usage())
        insert(usage())
        mine, raw = interleaved(ROUNDS, timed_each(recorder.record), timed_each(insert))
    return [line("direct: `record`, µs", mine, "psycopg2 insert of the same columns", raw, "≤ 1.2")]


def sends(url: str) -> list[Line]:
    with Proxy(url) as proxy, Tracker(mode="direct", database_url=proxy.url, log_records=False) as recorder:
        recorder.record(usage())
        proxy.forget()
        for _ in range(200):
            recorder.record(usage())
        each = len(proxy.statements) / 200
    return [("direct: network sends per record in steady state", f"{each:.2f}", "", "1")]


def delayed(url: str) -> list[Line]:
    with Proxy(url) as proxy:
        proxy.delay_to_server_ms = proxy.delay_to_client_ms = 10
        with Tracker(mode="direct", database_url=proxy.url, log_records=False) as recorder:
            old = earlier_way(proxy.url)

            def timed(work: Callable[[TokenUsage], Any]) -> Callable[[], float]:
                def once() -> float:
                    call = usage()
                    started = time.perf_counter()
                    work(call)
                    return (time.perf_counter() - started) * 1e6

                return once

            recorder.record(usage())
            old(usage())
            mine, before = interleaved(15, timed(recorder.record), timed(old))
    return [line("direct at 20 ms of network, µs", mine, "SELECT 1, then an insert in a transaction", before, "≤ 0.5")]


def background(url: str) -> list[Line]:
    with Tracker(mode="background", database_url=url, log_records=False) as recorder:
        for _ in range(BATCH):
            recorder.record(usage())
        work = timed_each(recorder.record)
        took = []
        for _ in range(ROUNDS):
            took.append(work())
            recorder.flush(30)
    return [("background: `record`, µs", f"{median(took):.0f}", "", "≤ 50")]


def drain(url: str) -> list[Line]:
    """The outbox into the table, against COPY of the same rows, both in rows a second."""

    def queued() -> float:
        with tempfile.TemporaryDirectory() as directory:
            path = str(Path(directory) / "outbox.db")
            with Tracker(mode="background", database_url="", outbox=path, log_records=False) as offline:
                for _ in range(DRAINED):
                    offline.record(usage())
            recorder = Tracker(mode="direct", platform="vercel", database_url=url, outbox=path, log_records=False)
            started = time.perf_counter()
            assert recorder.flush(120) == 0
            took = time.perf_counter() - started
            recorder.close()
        return DRAINED / took

    def copied() -> float:
        with Tracker(mode="direct", database_url=url, log_records=False) as recorder:
            rows = [the_row(recorder, usage()) for _ in range(DRAINED)]
        text = "\n".join("\t".join("\\N" if v is None else str(v) for v in row.values()) for row in rows)
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            started = time.perf_counter()
            cursor.copy_expert(f"COPY token_usage ({', '.join(rows[0])}) FROM STDIN", StringIO(text))
            connection.commit()
            took = time.perf_counter() - started
        return DRAINED / took

    mine, copy = interleaved(5, queued, copied)
    return [line("background: drained, rows/s", mine, "COPY of the same rows", copy, "≥ 0.3")]


def cold_start() -> list[Line]:
    """Fresh processes in turn, CPU milliseconds of what each says it imports."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["DATABASE_URL"] = "postgresql://user@host/db"

    def process(statement: str) -> Callable[[], float]:
        code = f"import time; t = time.process_time(); {statement}; print((time.process_time() - t) * 1000)"

        def once() -> float:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
            return float(done.stdout)

        once()  # writes the bytecode
        return once

    mine, driver = interleaved(25, process("import tracker; tracker.Tracker()"), process("import psycopg2"))
    return [line("cold start: `import tracker; Tracker()`, CPU ms", mine, "`import psycopg2`", driver, "≤ 2")]


def line(what: str, mine: list[float], other: str, theirs: list[float], bound: str) -> Line:
    ratio = median(mine) / median(theirs)
    return (what, f"{median(mine):,.0f}", f"{other}: {median(theirs):,.0f}", f"{ratio:.2f} ({bound})")


def main() -> None:
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="tracker-benchmark-state-")
    lines = cold_start()
    with server() as url:
        for part in (direct, sends, delayed, background, drain):
            lines += part(url)
    print_table(("measurement", "Token Tracker", "baseline", "ratio (goal)"), lines)


if __name__ == "__main__":
    main()
