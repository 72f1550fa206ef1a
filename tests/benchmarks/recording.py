"""Measures the cost of recording for the caller, compared with a plain baseline in the same run.

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
from tracker.recording.context import in_current_context

sys.path.insert(0, str(Path(__file__).parent.parent))
from faults import Proxy

BATCH = 50
ROUNDS = 30
DRAINED = 20_000
CONTEXT = {"session_id": "s_1", "team": "growth", "feature": "search", "customer": "acme", "prompt_version": "v7"}
Line = tuple[str, str, str, str]


def usage() -> TokenUsage:
    return TokenUsage(
        model="gemini-2.5-flash", input_tokens=812, output_tokens=164, user_id="u_42", operation="summary_generation"
    )


def make_timed_batch(work: Callable[[TokenUsage], Any]) -> Callable[[], float]:
    """A function that returns the median microseconds per call of a batch; the usages are created before."""

    def batch() -> float:
        usages = [usage() for _ in range(BATCH)]
        times_us = []
        for each in usages:
            started = time.perf_counter()
            work(each)
            times_us.append((time.perf_counter() - started) * 1e6)
        return median(times_us)

    return batch


def stored_row(recorder: Tracker, call: TokenUsage) -> dict[str, Any]:
    """The columns that the recorder stores."""
    row = {**recorder._instance.row(call, "direct"), "sequence": 1, "connection_ms": 0.01, "retry_count": 0}
    return {name: json.dumps(v) if isinstance(v, dict) else v if v is None else str(v) for name, v in row.items()}


def make_raw_insert(url: str, recorder: Tracker) -> Callable[[TokenUsage], None]:
    """A plain autocommit insert of the same columns on one open connection."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    names = list(stored_row(recorder, usage()))
    text = f"INSERT INTO token_usage ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"

    def insert(call: TokenUsage) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text, list(stored_row(recorder, call).values()))

    return insert


def make_previous_insert(url: str) -> Callable[[TokenUsage], None]:
    """The previous implementation: a SELECT 1, then an insert in a transaction."""
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


def measure_direct(url: str) -> list[Line]:
    with Tracker(mode="direct", database_url=url, log_records=False) as recorder:
        insert = make_raw_insert(url, recorder)
        recorder.record(usage())
        insert(usage())
        recorded, raw = interleaved(ROUNDS, make_timed_batch(recorder.record), make_timed_batch(insert))
        with recorder.context(**CONTEXT):
            in_context, raw_of_same = interleaved(
                ROUNDS,
                make_timed_batch(recorder.record),
                make_timed_batch(lambda call: insert(in_current_context(call))),
            )
    baseline = "psycopg2 insert of the same columns"
    return [
        format_line("direct: `record`, µs", recorded, baseline, raw, "≤ 1.2"),
        format_line("direct: `record` in a context of five keys, µs", in_context, baseline, raw_of_same, "≤ 1.2"),
    ]


def measure_sends(url: str) -> list[Line]:
    with Proxy(url) as proxy, Tracker(mode="direct", database_url=proxy.url, log_records=False) as recorder:
        recorder.record(usage())
        proxy.forget()
        for _ in range(200):
            recorder.record(usage())
        each = len(proxy.statements) / 200
    return [("direct: network sends per record in steady state", f"{each:.2f}", "", "1")]


def measure_network_delay(url: str) -> list[Line]:
    with Proxy(url) as proxy:
        proxy.delay_to_server_ms = proxy.delay_to_client_ms = 10
        with Tracker(mode="direct", database_url=proxy.url, log_records=False) as recorder:
            insert = make_previous_insert(proxy.url)

            def timed(work: Callable[[TokenUsage], Any]) -> Callable[[], float]:
                def once() -> float:
                    call = usage()
                    started = time.perf_counter()
                    work(call)
                    return (time.perf_counter() - started) * 1e6

                return once

            recorder.record(usage())
            insert(usage())
            recorded, previous = interleaved(15, timed(recorder.record), timed(insert))
    return [
        format_line(
            "direct at 20 ms of network, µs", recorded, "SELECT 1, then an insert in a transaction", previous, "≤ 0.5"
        )
    ]


def measure_background(url: str) -> list[Line]:
    with Tracker(mode="background", database_url=url, log_records=False) as recorder:
        for _ in range(BATCH):
            recorder.record(usage())
        work = make_timed_batch(recorder.record)
        plain_us, in_context_us = [], []
        for _ in range(ROUNDS):
            plain_us.append(work())
            recorder.flush(30)
            with recorder.context(**CONTEXT):
                in_context_us.append(work())
            recorder.flush(30)
    return [
        ("background: `record`, µs", f"{median(plain_us):.0f}", "", "≤ 50"),
        ("background: `record` in a context of five keys, µs", f"{median(in_context_us):.0f}", "", "≤ 50"),
    ]


def measure_drain(url: str) -> list[Line]:
    """The rows per second from the outbox into the table, compared with COPY of the same rows."""

    def drain_rate() -> float:
        with tempfile.TemporaryDirectory() as directory:
            path = str(Path(directory) / "outbox.db")
            with Tracker(mode="background", database_url="", outbox=path, log_records=False) as offline:
                for _ in range(DRAINED):
                    offline.record(usage())
            recorder = Tracker(mode="direct", platform="vercel", database_url=url, outbox=path, log_records=False)
            started = time.perf_counter()
            assert recorder.flush(120) == 0
            elapsed_s = time.perf_counter() - started
            recorder.close()
        return DRAINED / elapsed_s

    def copy_rate() -> float:
        with Tracker(mode="direct", database_url=url, log_records=False) as recorder:
            rows = [stored_row(recorder, usage()) for _ in range(DRAINED)]
        text = "\n".join("\t".join("\\N" if v is None else str(v) for v in row.values()) for row in rows)
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            started = time.perf_counter()
            cursor.copy_expert(f"COPY token_usage ({', '.join(rows[0])}) FROM STDIN", StringIO(text))
            connection.commit()
            elapsed_s = time.perf_counter() - started
        return DRAINED / elapsed_s

    drained, copied = interleaved(5, drain_rate, copy_rate)
    return [format_line("background: drained, rows/s", drained, "COPY of the same rows", copied, "≥ 0.3")]


def measure_cold_start() -> list[Line]:
    """The CPU milliseconds of an import in new processes, in turns."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["DATABASE_URL"] = "postgresql://user@host/db"

    def process(statement: str) -> Callable[[], float]:
        code = f"import time; t = time.process_time(); {statement}; print((time.process_time() - t) * 1000)"

        def once() -> float:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
            return float(done.stdout)

        once()  # writes the bytecode
        return once

    tracker_ms, driver_ms = interleaved(25, process("import tracker; tracker.Tracker()"), process("import psycopg2"))
    return [
        format_line(
            "cold start: `import tracker; Tracker()`, CPU ms", tracker_ms, "`import psycopg2`", driver_ms, "≤ 2"
        )
    ]


def format_line(measure: str, values: list[float], baseline: str, baseline_values: list[float], target: str) -> Line:
    ratio = median(values) / median(baseline_values)
    return (measure, f"{median(values):,.0f}", f"{baseline}: {median(baseline_values):,.0f}", f"{ratio:.2f} ({target})")


def main() -> None:
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="tracker-benchmark-state-")
    lines = measure_cold_start()
    with server() as url:
        for measure in (measure_direct, measure_sends, measure_network_delay, measure_background, measure_drain):
            lines += measure(url)
    print_table(("measurement", "Token Tracker", "baseline", "ratio (goal)"), lines)


if __name__ == "__main__":
    main()
