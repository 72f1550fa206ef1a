"""Who holds the connections, what is wrong with that, and who may be ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from support import eventually, value, with_role
from test_reports import reader_of

from pages.sections.connections import advice_text
from tracker import settings
from tracker.database.url import clean
from tracker.reports.connections import pgbouncer
from tracker.reports.connections import sessions as connections
from tracker.reports.connections.advice import Instances, advise
from tracker.reports.connections.sampler import Sampler
from tracker.reports.connections.sessions import (
    Session,
    Slots,
    blocking_pids,
    deployment,
    end_session,
    list_sessions,
    order_sessions,
)

URL = clean("postgresql://u@h/d")


def a_session(**changes: object) -> Session:
    given: dict[str, object] = {
        "pid": 1,
        "application_name": "psql",
        "user_name": "u",
        "database_name": "d",
        "state": "idle",
        "backend_start": None,
        "state_s": 1.0,
        "transaction_s": None,
        "waits_for": "",
        "blocked_by": (),
        "query": "",
        "is_own_backend": False,
        "is_superuser": False,
        "may_signal": True,
    }
    return Session(**(given | changes))  # type: ignore[arg-type]


def slots_of(used: int) -> Slots:
    return Slots(used, 3, 100, None, None, "d", "r", sees_all=True)


def test_a_quiet_server_needs_no_advice() -> None:
    assert advise([a_session()], slots_of(1), [], URL) == ()


@pytest.mark.parametrize(
    ("held", "used", "kind"),
    [
        ([a_session()] * 90, 90, "crowded_idle"),
        ([a_session(state="active")] * 90, 90, "crowded_busy"),
        ([a_session(state="idle in transaction", state_s=61.0)], 1, "idle_in_transaction"),
        ([a_session(state="active", blocked_by=(7,))], 1, "blocked"),
        ([a_session(state="active", transaction_s=301.0)], 1, "long_transaction"),
        ([a_session(application_name="token-tracker/vercel/production/abc", state_s=40.0)] * 5, 5, "hoarding"),
    ],
)
def test_what_is_wrong_is_found(held: list[Session], used: int, kind: str) -> None:
    assert [advice.kind for advice in advise(held, slots_of(used), [], URL)] == [kind]


def test_more_instances_than_the_server_has_room_for() -> None:
    found = advise([], slots_of(0), [Instances("vercel", 20, 5)], URL)
    assert [(one.kind, one.number, one.of) for one in found] == [("too_many_instances", 20, 100)]


def test_functions_on_a_session_pooler() -> None:
    held = [a_session(application_name="token-tracker/vercel/production")]
    pooled = clean("postgresql://u.x@aws-0-eu.pooler.supabase.com:5432/postgres")
    assert [one.kind for one in advise(held, slots_of(1), [], pooled)] == ["session_pooler"]


def test_a_name_says_which_deployment_it_is() -> None:
    found = deployment("token-tracker/vercel/production/a1b2c3d")
    assert found
    assert (found.platform, found.environment, found.deployment) == ("vercel", "production", "a1b2c3d")
    assert deployment("psql") is None


def test_a_process_that_blocks_others_is_the_root_of_their_chain() -> None:
    chain = [a_session(pid=2, blocked_by=(1,)), a_session(pid=3, blocked_by=(2, 1)), a_session(pid=4, blocked_by=(3,))]
    assert blocking_pids([a_session(pid=1), *chain]) == {1: [2, 3, 4]}
    deadlock = [a_session(pid=5, blocked_by=(6,)), a_session(pid=6, blocked_by=(5,))]
    assert blocking_pids(deadlock) == {5: [6], 6: [5]}


@pytest.mark.parametrize(
    ("blocker", "ending"),
    [
        ({"pid": 7}, "allowed"),
        ({"pid": 7, "may_signal": False}, "right_missing"),
        ({"pid": 7, "is_superuser": True}, "superuser"),
        ({"pid": 7, "is_own": True}, "own"),
        ({"pid": 8}, "not_a_client"),
    ],
)
def test_advice_states_whether_the_blocking_session_can_be_terminated(blocker: dict[str, Any], ending: str) -> None:
    sessions = [a_session(pid=9, state="active", blocked_by=(7,)), a_session(**blocker)]
    (advice,) = advise(sessions, slots_of(2), [], URL)
    assert (advice.kind, advice.number, advice.ending) == ("blocked", 1, ending)
    assert ("or terminate the session below" in advice_text(advice)) == (ending == "allowed")
    assert "1 session waits" in advice_text(advice)


def test_a_prepared_transaction_that_blocks_is_named() -> None:
    (advice,) = advise([a_session(blocked_by=(0,))], slots_of(1), [], URL)
    assert "pg_prepared_xacts" in advice_text(advice)


def test_blocking_sessions_are_first_and_those_of_dashboards_last() -> None:
    sessions = [
        a_session(pid=1, is_own=True),
        a_session(pid=2),
        a_session(pid=3, blocked_by=(4,)),
        a_session(pid=4),
        a_session(pid=5, is_own_backend=True),
    ]
    assert [session.pid for session in order_sessions(sessions)] == [4, 3, 2, 1, 5]


@pytest.mark.direct
def test_the_values_of_another_sessions_query_are_masked(database_url: str, open_page: Any) -> None:
    with closing(psycopg2.connect(database_url, application_name="leaky")) as client, client.cursor() as cursor:
        cursor.execute("SELECT 'sk-s3cret' AS key, 4711 AS number /* hunter2 */")
        reader = reader_of(database_url)
        session = next(one for one in list_sessions(reader) if one.application_name == "leaky")
        assert session.query == "SELECT ? AS key, ? AS number /* … */"
        assert "s3cret" in session.raw_query
        assert "s3cret" not in repr(session)
        page = open_page(database_url, "connections.py")
        (table,) = [frame.value for frame in page.dataframe if "query" in frame.value]
        assert session.query in list(table["query"])
        assert not table.astype(str).stack().str.contains("s3cret|4711|hunter2").any()


@pytest.mark.direct
def test_who_blocks_is_seen_and_a_stranger_can_be_ended(
    database_url: str, new_role: Callable[..., str], connection: psycopg2.extensions.connection
) -> None:
    reader = reader_of(database_url)
    role = new_role()
    with closing(psycopg2.connect(with_role(database_url, role), application_name="stray")) as stray:
        found = next(one for one in list_sessions(reader) if one.application_name == "stray")
        assert found.ending == "allowed"
        assert end_session(reader, found, terminate=True)
        eventually(
            lambda: value(database_url, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'stray'")
        )
        assert not end_session(reader, found, terminate=True)
        assert stray is not None


@pytest.mark.direct
def test_our_own_and_a_superusers_sessions_are_never_ended(database_url: str) -> None:
    reader = reader_of(database_url)
    with closing(psycopg2.connect(database_url, application_name="boss")):
        held = list_sessions(reader)
        boss = next(one for one in held if one.application_name == "boss")
        own = next(one for one in held if one.is_own_backend)
        assert (boss.ending, own.ending) == ("superuser", "own")
        assert not end_session(reader, boss, terminate=True)


@pytest.mark.direct
def test_a_role_without_rights_sees_less_and_may_end_nobody_elses(limited_url: str, database_url: str) -> None:
    reader = reader_of(limited_url)
    with closing(psycopg2.connect(database_url, application_name="boss")):
        held = list_sessions(reader)
        boss = next(one for one in held if one.application_name == "boss")
        assert boss.state == "hidden"
        assert boss.ending == "superuser"
        limits = connections.read_slots(reader, held)
        assert limits.grant
        assert limits.signal_grant.startswith("GRANT pg_signal_backend TO")


def test_all_readers_share_one_look(database_url: str) -> None:
    sampler = Sampler(reader_of(database_url))
    try:
        assert sampler.latest() is sampler.latest()
        assert sampler.latest().slots.used >= 1
    finally:
        sampler.stop()


@pytest.mark.pooler
def test_pgbouncers_own_pools(database_url: str, pooler: Callable[[str], str]) -> None:
    through = pooler(database_url)
    with closing(psycopg2.connect(through)) as client, client.cursor() as cursor:
        cursor.execute("SELECT 1")
        console = through.rsplit("/", 1)[0] + "/pgbouncer"
        found = pgbouncer.pools(settings.load({"TRACKER_PGBOUNCER_URL": console}), "tests")
    assert found
    assert {pool.pool_mode for pool in found} == {"transaction"}
    assert sum(pool.cl_active for pool in found) >= 1


def test_without_its_url_pgbouncer_is_not_asked() -> None:
    assert pgbouncer.pools(settings.load({}), "tests") is None
