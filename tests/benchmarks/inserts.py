"""What do our indexes cost an insert, and what does an import cost beside a plain COPY?

    python -m tests.benchmarks.inserts [--rounds 7] [--rows 100000] [--database-url URL]

Runs are interleaved, so that what else the machine does hits all alike; medians and ratios of rates.
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


def calls_file(path: Path, rows: int) -> None:
    """A file of calls in the order of time."""
    draw, moment = random.Random(1), datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for _ in range(rows):
            moment += timedelta(seconds=draw.random() * 5)
            given, made = draw.randrange(4000), draw.randrange(600)
            file.write(
                f"{moment.isoformat()},user_{int(5000 * draw.random() ** 2)},google,gemini-2.5-flash,chat,"
                f"{given},{made},{given + made},{given * 3e-7 + made * 2.5e-6:.8f},{draw.randrange(9000)},true\n"
            )


def rate(count: int, started: float) -> float:
    return count / (perf_counter() - started)


def plain_copy(connection: Connection, path: Path, rows: int) -> float:
    """Rows a second of COPY alone, into the same table with all its indexes."""
    text = path.read_text(encoding="utf-8").partition("\n")[2]
    started = perf_counter()
    copy(connection, f"COPY token_usage ({HEADER}) FROM STDIN WITH (FORMAT csv)", io.StringIO(text))
    return rate(rows, started)


def own_import(connection: Connection, path: Path, rows: int) -> float:
    """Rows a second of an import: read, checked, given ids, copied."""
    started = perf_counter()
    with path.open(encoding="utf-8", newline="") as file, CopyWriter(connection, None) as writer:
        calls = read_calls(file, ColumnMapping())
        next(calls)
        for call in calls:
            writer.add(call)
        writer.flush()
    assert writer.new == rows
    return rate(rows, started)


def singles(connection: Connection, count: int) -> float:
    target = Target.read(connection, None)
    given = [TokenUsage(model="gpt", input_tokens=1, user_id=f"user_{n % 500}").as_row() for n in range(count)]
    started = perf_counter()
    for row in given:
        insert(connection, target, row)
    return rate(count, started)


def batches(connection: Connection, count: int) -> float:
    given = [TokenUsage(model="gpt", input_tokens=1, user_id=f"user_{n % 500}").as_row() for n in range(count)]
    writer = BatchWriter(connection, None)
    started = perf_counter()
    for row in given:
        writer.add(row, None)
    writer.flush()
    return rate(count, started)


def key_alone(connection: Connection) -> None:
    """Drop every index but the key's."""
    execute(
        connection, "DROP INDEX token_usage_created_at_idx, token_usage_user_id_created_at_idx, token_usage_late_idx"
    )


def compare(name: str, own: list[float], other: list[float], against: str) -> None:
    print(f"| {name} | {median(own):,.0f} | {median(other):,.0f} {against} | {median(own) / median(other):.2f} |")


def measure(ours: Database, bare: Database, rounds: int, rows: int) -> None:
    found: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(ours.connect()) as full,
        closing(bare.connect()) as alone,
    ):
        key_alone(alone)
        path = Path(directory) / "calls.csv"
        calls_file(path, rows)
        for _ in range(rounds):
            for name, work in (("copy", plain_copy), ("import", own_import)):
                execute(full, "TRUNCATE token_usage")
                found.setdefault(name, []).append(work(full, path, rows))
            for name, count, insertion in (("single", 1500, singles), ("batch", 20_000, batches)):
                for where, connection in (("all", full), ("key", alone)):
                    found.setdefault(name + where, []).append(insertion(connection, count))
    print("| rows a second | ours | beside | ratio |\n|---|---:|---:|---:|")
    compare("import of a CSV", found["import"], found["copy"], "plain COPY")
    compare("single inserts", found["singleall"], found["singlekey"], "key alone")
    compare("batches of 1,000", found["batchall"], found["batchkey"], "key alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    with (
        server(arguments.database_url) as url,
        database(url, "inserts") as ours,
        database(url, "inserts_key") as bare,
    ):
        measure(ours, bare, arguments.rounds, arguments.rows)


if __name__ == "__main__":
    main()
