"""Measures the cost of the indexes for inserts, and an import compared with a plain COPY.

    python -m tests.benchmarks.inserts [--rounds 7] [--rows 100000] [--database-url URL]

Runs are interleaved, so that other load on the machine affects them equally. Prints medians and ratios of rates.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.benchmarks.servers import database, server
from tracker.database.connect import Connection, copy, execute
from tracker.database.locate import Database
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_file import read_calls
from tracker.recording.bulk_insert import BatchWriter
from tracker.recording.copy import CopyWriter
from tracker.recording.insert import Target, insert
from tracker.usage import TokenUsage

HEADER = (
    "created_at,user_id,provider,model,operation,input_tokens,output_tokens,total_tokens,cost,processing_time,success"
)


def write_calls(path: Path, rows: int) -> None:
    """Write a CSV file of calls in order of time."""
    draw, time = random.Random(1), datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for _ in range(rows):
            time += timedelta(seconds=draw.random() * 5)
            input_tokens, output_tokens = draw.randrange(4000), draw.randrange(600)
            file.write(
                f"{time.isoformat()},user_{int(5000 * draw.random() ** 2)},google,gemini-2.5-flash,chat,"
                f"{input_tokens},{output_tokens},{input_tokens + output_tokens},"
                f"{input_tokens * 3e-7 + output_tokens * 2.5e-6:.8f},{draw.randrange(9000)},true\n"
            )


def rate(count: int, started: float) -> float:
    return count / (perf_counter() - started)


def plain_copy(connection: Connection, path: Path, rows: int) -> float:
    """Rows per second of COPY into the same table with all indexes."""
    text = path.read_text(encoding="utf-8").partition("\n")[2]
    started = perf_counter()
    copy(connection, f"COPY token_usage ({HEADER}) FROM STDIN WITH (FORMAT csv)", io.StringIO(text))
    return rate(rows, started)


def csv_import(connection: Connection, path: Path, rows: int) -> float:
    """Rows per second of an import: parse, validate, create ids, COPY."""
    started = perf_counter()
    with path.open(encoding="utf-8", newline="") as file, CopyWriter(connection, None) as writer:
        calls = read_calls(file, ColumnMapping())
        next(calls)
        for call in calls:
            writer.add(call)
        writer.flush()
    assert writer.new == rows
    return rate(rows, started)


def single_inserts(connection: Connection, count: int) -> float:
    target = Target.read(connection, None)
    rows = [TokenUsage(model="gpt", input_tokens=1, user_id=f"user_{n % 500}").as_row() for n in range(count)]
    started = perf_counter()
    for row in rows:
        insert(connection, target, row)
    return rate(count, started)


def batch_inserts(connection: Connection, count: int) -> float:
    rows = [TokenUsage(model="gpt", input_tokens=1, user_id=f"user_{n % 500}").as_row() for n in range(count)]
    writer = BatchWriter(connection, None)
    started = perf_counter()
    for row in rows:
        writer.add(row, None)
    writer.flush()
    return rate(count, started)


def drop_secondary_indexes(connection: Connection) -> None:
    """Drop all indexes except the primary key."""
    execute(
        connection,
        "DROP INDEX token_usage_created_at_idx, token_usage_user_id_created_at_idx, token_usage_late_idx,"
        " token_usage_session_idx",
    )


def print_comparison(name: str, rates: list[float], other_rates: list[float], other_name: str) -> None:
    rate_, other = median(rates), median(other_rates)
    print(f"| {name} | {rate_:,.0f} | {other:,.0f} {other_name} | {rate_ / other:.2f} |")


def measure(indexed: Database, unindexed: Database, rounds: int, rows: int) -> None:
    rates: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(indexed.connect()) as full,
        closing(unindexed.connect()) as key_only,
    ):
        drop_secondary_indexes(key_only)
        path = Path(directory) / "calls.csv"
        write_calls(path, rows)
        for _ in range(rounds):
            for name, work in (("copy", plain_copy), ("import", csv_import)):
                execute(full, "TRUNCATE token_usage")
                rates.setdefault(name, []).append(work(full, path, rows))
            for name, count, insertion in (("single", 1500, single_inserts), ("batch", 20_000, batch_inserts)):
                for indexes, connection in (("all", full), ("key", key_only)):
                    rates.setdefault(name + indexes, []).append(insertion(connection, count))
    print("| rows per second | Token Tracker | compared with | ratio |\n|---|---:|---:|---:|")
    print_comparison("import of a CSV", rates["import"], rates["copy"], "plain COPY")
    print_comparison("single inserts", rates["singleall"], rates["singlekey"], "primary key only")
    print_comparison("batches of 1,000", rates["batchall"], rates["batchkey"], "primary key only")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    with (
        server(arguments.database_url) as url,
        database(url, "inserts") as indexed,
        database(url, "inserts_key") as unindexed,
    ):
        measure(indexed, unindexed, arguments.rounds, arguments.rows)


if __name__ == "__main__":
    main()
