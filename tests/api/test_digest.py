"""The digest: its days, its content, its text in two languages, and that it is sent once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

import psycopg2.extensions
import pytest
from support import rows, run, with_role

from tracker import TokenUsage, Tracker
from tracker.cli import main
from tracker.database.connect import execute
from tracker.digest import send as sending
from tracker.digest.schedule import due_days, last_complete_days
from tracker.maintenance import sample_data
from tracker.reports import Reader, ledger_report
from tracker.reports.engine import current_reader
from tracker.setting_parsers import DigestTime, parse_digest_time

SEOUL = "Asia/Seoul"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "first_day"),
    [
        ("daily 09:00", "UTC", "2026-11-27T08:59:59Z", None),
        ("daily 09:00", "UTC", "2026-11-27T09:00:00Z", "2026-11-26"),
        ("daily 09:00", SEOUL, "2026-11-27T00:00:00Z", "2026-11-26"),
        ("daily 09:00", "UTC", "2026-11-27T15:00:00Z", "2026-11-26"),  # six hours late
        ("daily 09:00", "UTC", "2026-11-27T15:00:01Z", None),
        ("daily 23:30", "UTC", "2026-11-28T02:00:00Z", "2026-11-26"),  # caught up after midnight: its day, not the next
        ("weekly 09:00", "UTC", "2026-11-27T10:00:00Z", None),  # a Friday
        ("weekly 09:00", "UTC", "2026-11-30T10:00:00Z", "2026-11-23"),
        ("weekly 23:00", "UTC", "2026-12-01T01:00:00Z", "2026-11-23"),
        ("daily 02:30", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-28"),  # 02:30 does not exist on this day
        ("daily 02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-24"),  # 02:30 occurs twice: the first time
    ],
)
def test_a_digest_is_due_from_its_local_time_for_six_hours(
    schedule: str, zone: str, now: str, first_day: str | None
) -> None:
    due = due_days(parse_digest_time(schedule), zone, at(now))
    assert (None if due is None else due.first_day.isoformat()) == first_day


def test_the_days_are_local_and_complete() -> None:
    day = last_complete_days("day", "America/New_York", at("2026-11-02T04:59:00Z"))  # still the day of the clock change
    assert (day.start, day.end) == (at("2026-10-31T04:00:00Z"), at("2026-11-01T04:00:00Z"))
    week = last_complete_days("week", "America/New_York", at("2026-11-02T12:00:00Z"))
    assert (week.first_day.isoformat(), week.last_day.isoformat()) == ("2026-10-26", "2026-11-01")
    assert week.end - week.start == timedelta(days=7, hours=1)
    assert week.start - week.previous_start == timedelta(days=7)
    zone = ZoneInfo("America/New_York")
    assert [end.astimezone(zone).strftime("%d %H:%M:%S") for end in week.day_ends] == [
        f"{day} 23:59:59" for day in ("26", "27", "28", "29", "30", "31", "01")
    ]


@pytest.mark.parametrize("text", ["daily", "daily 9:00", "daily 24:00", "monthly 09:00", "daily 09:00 fr", "09:00"])
def test_other_schedules_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_digest_time(text)
    assert parse_digest_time("  WEEKLY  07:05 ko ") == DigestTime("week", time(7, 5), "ko")


class Channel:
    """An HTTP server that receives digests."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.status = 200
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if channel.status == 200:
                    channel.received.append(json.loads(body))
                self.send_response(channel.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://ann:secret-word@127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def channel() -> Iterator[Channel]:
    opened = Channel()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch, channel: Channel) -> Iterator[str]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TRACKER_ALERT_URLS", channel.url)
    yield database_url
    current_reader.close()


HOSTILE = "evil\x1b[31m\n# <!channel>"


def fill(url: str, recorder: Tracker) -> None:
    """Calls of yesterday and of the day before, one without a cost, one failed, one of a hostile model name."""
    for model, cost, user in (("gpt-5", 2, "ann"), ("gpt-5", 1, "bob"), (HOSTILE, None, "ann"), ("gpt-5", 1, "cat")):
        recorder.record(
            TokenUsage(model=model, input_tokens=1000, output_tokens=500, cost=cost, user_id=user, success=cost != 1)
        )
    run(
        url,
        "UPDATE token_usage SET created_at = date_trunc('day', now(), 'UTC') - interval '12 hours'",
        "UPDATE token_usage SET created_at = created_at - interval '1 day' WHERE user_id = 'cat'",
    )


def test_the_command_prints_the_figures_of_yesterday(
    database: str,
    recorder: Tracker,
    connection: psycopg2.extensions.connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(database, recorder)
    run(database, "UPDATE token_usage SET metadata = '{\"team\": \"growth\"}' WHERE user_id = 'ann'")
    sample_data.add(connection, days=3)  # which no digest counts
    monkeypatch.setenv("TRACKER_PROPERTIES", "team")
    assert main(["rollup"]) == 0
    capsys.readouterr()
    run(
        database,
        "INSERT INTO token_tracker_budgets (name, scope, subject, period, measure, amount)"
        " VALUES ('team', 'everybody', NULL, 'month', 'usd', 10), ('ann''s', 'user', 'ann', 'month', 'usd', 10)",
    )
    assert main(["digest", "--period", "day"]) == 0
    text = capsys.readouterr().out
    for line in (
        "Calls: 3 (200% more than in the period before)",
        "Failed calls: 1 (as in the period before)",
        "Tokens: 4,500 (200% more than in the period before)",
        "Cost: $3.00 (200% more than in the period before)",
        "Users: 2 (100% more than in the period before)",
        "- gpt-5: $3.00, tokens: 3,000, calls: 2",
        "- evil [31m # <!channel>: no known cost, tokens: 1,500, calls: 1",
        "Most tokens by team:",
        "- growth: $2.00, tokens: 3,000, calls: 2",
        "- Calls without a known cost: 1. The page Prices and budgets lists their models.",
    ):
        assert line in text.splitlines(), text
    assert re.search(r"^- team: \d+% of \$10\.00 used this month$", text, re.MULTILINE)
    assert ("\x1b" in text, "ann's" in text, "- ann" in text) == (False, False, False)

    monkeypatch.setenv("TRACKER_DIGEST_USERS", "true")
    assert main(["digest", "--language", "ko"]) == 0
    korean = capsys.readouterr().out
    assert "- ann: $2.00" in korean
    assert "ann's" in korean
    assert "호출: 3" in korean


def test_a_due_digest_is_sent_once_by_many_processes(
    database: str, recorder: Tracker, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, recorder)
    now = datetime.now(UTC)
    monkeypatch.setenv("TRACKER_DIGEST", f"daily {now - timedelta(minutes=5):%H:%M} ko")
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(sending.send_due_digest(now))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 0, 1]
    assert len(channel.received) == 1
    received = channel.received[0]
    assert received["type"] == "token_usage_digest"
    assert received["title"].startswith("토큰 사용량")
    assert "secret-word" not in json.dumps(received)
    assert rows(database, "SELECT sent_at IS NOT NULL, channel LIKE '%secret%' FROM token_tracker_digests") == [
        (True, False)
    ]
    assert main(["digest", "--send"]) == 0  # uses the same claim
    assert len(channel.received) == 1


def test_a_failed_attempt_is_repeated_after_its_lease(
    database: str, recorder: Tracker, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, recorder)
    now = datetime.now(UTC)
    monkeypatch.setenv("TRACKER_DIGEST", f"daily {now - timedelta(minutes=5):%H:%M}")
    channel.status = 503
    assert sending.send_due_digest(now) == 0
    channel.status = 200
    assert sending.send_due_digest(now) == 0  # the claim is valid
    run(database, "UPDATE token_tracker_digests SET claimed_at = claimed_at - interval '6 minutes'")
    assert sending.send_due_digest(now) == 1
    assert sending.send_due_digest(now) == 0
    assert len(channel.received) == 1


def test_a_digest_that_cannot_be_claimed_is_not_sent(
    database: str,
    channel: Channel,
    new_role: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    role = new_role()
    run(database, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    monkeypatch.setenv("DATABASE_URL", with_role(database, role))
    assert main(["digest", "--send"]) == 1
    assert "GRANT SELECT, INSERT, UPDATE ON" in capsys.readouterr().err
    assert main(["digest"]) == 0  # printing needs no claim
    assert "No calls were recorded." in capsys.readouterr().out
    monkeypatch.delenv("TRACKER_ALERT_URLS")
    assert main(["digest", "--send"]) == 1
    assert "TRACKER_ALERT_URLS is not set" in capsys.readouterr().err
    assert channel.received == []


def test_a_part_that_takes_too_long_is_left_out_with_a_line(
    database: str, recorder: Tracker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, recorder)

    def read_slowly(reader: Reader, _: object) -> object:
        with reader.borrow() as connection:
            return execute(connection, "SET statement_timeout = 20; SELECT pg_sleep(1)")

    monkeypatch.setattr(ledger_report, "ledger", read_slowly)
    assert main(["digest"]) == 0
    text = capsys.readouterr().out
    assert "Missing or late records are not included, because their query took too long." in text
    assert "Calls: 3" in text


def test_the_totals_equal_those_of_the_pages(database: str, recorder: Tracker) -> None:
    from tracker.digest.content import read_content
    from tracker.reports import Filters, usage_totals

    fill(database, recorder)
    days = last_complete_days("day", "UTC", datetime.now(UTC))
    reader = current_reader.reader()
    content = read_content(reader, days, with_users=True)
    page = usage_totals.totals(reader, Filters(start=days.start, end=days.end))
    assert (content.totals, content.totals.cost_usd) == (page, Decimal(3))
