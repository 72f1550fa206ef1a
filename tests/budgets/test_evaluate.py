"""Budgets with a real database: sums, alerts that are sent once, the app's own table, rights."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rollups_support import Store
from support import connect, rows, run, value, with_role

from tracker.budgets import budget_store as budgets
from tracker.budgets.budget import Budget
from tracker.budgets.evaluate import BudgetCheck, evaluate_budgets, send_due_alerts
from tracker.platforms import Runtime

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HERE = Runtime(platform="local", environment="test")


def put(store: Store, name: str = "all", **fields: Any) -> Budget:
    made = Budget(**{"name": name, "period": "day", "measure": "tokens", "amount": Decimal(1000), **fields})
    budgets.save(store.connection, budgets.read_access(store.connection, None), made)
    return made


def evaluate(url: str, now: datetime = NOON) -> tuple[BudgetCheck, list[dict[str, Any]]]:
    alerts: list[dict[str, Any]] = []
    with closing(connect(url)) as connection:
        return send_due_alerts(connection, None, HERE, alerts.append, now), alerts


def used(store: Store, now: datetime = NOON) -> dict[str, Decimal]:
    return {state.budget.name: state.used for state in evaluate_budgets(store.connection, None, now).states}


# --- sums ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refreshed", [False, True])
def test_each_budget_counts_its_own_calls_in_its_own_window(store, refreshed):
    store.add(
        [
            {"created_at": NOON, "user_id": "u_1", "model": "a", "operation": "chat",
             "total_tokens": 100, "cost": "0.5"},
            {"created_at": NOON, "user_id": "u_2", "model": "b", "operation": "tag", "total_tokens": 200, "cost": None},
            {"created_at": NOON - timedelta(hours=13), "user_id": "u_1", "model": "a", "operation": "chat",
             "total_tokens": 400, "cost": "0.25"},
            {"created_at": NOON - timedelta(days=10), "user_id": "u_1", "model": "a", "operation": "chat",
             "total_tokens": 800, "cost": "1"},
        ]
    )  # fmt: skip
    store.call(created_at=NOON, user_id="u_1", total_tokens=10_000, is_test=True)
    if refreshed:
        store.catch_up()
    put(store)
    put(store, "month", period="month")
    put(store, "seoul", timezone="Asia/Seoul")
    put(store, "money", period="month", measure="usd")
    put(store, "user", scope="user", subject="u_1")
    put(store, "user month", scope="user", subject="u_1", period="month")
    put(store, "model", scope="model", subject="b")
    put(store, "operation", scope="operation", subject="chat", period="month")
    put(store, "nobody", scope="user", subject="u_9")
    assert used(store) == {
        "all": 300,
        "month": 700,  # the 28th of February isn't March
        "seoul": 700,  # 23:00 in UTC is the next morning there
        "money": Decimal("0.75"),
        "user": 100,
        "user month": 500,
        "model": 200,
        "operation": 500,
        "nobody": 0,
    }
    assert {s.budget.name: s.spent.unpriced_calls for s in evaluate_budgets(store.connection, None, NOON).states}[
        "money"
    ] == 1


@hypothesis_settings(max_examples=15)
@given(
    calls=st.lists(
        st.tuples(st.integers(-50, 30), st.sampled_from(["u_1", "u_2"]), st.integers(0, 500)), min_size=1, max_size=12
    ),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
    refreshed=st.integers(0, 12),
)
def test_sums_are_those_of_the_rows_however_far_a_refresh_got(store, calls, zone, refreshed):
    store.empty()
    run(store.url, "DELETE FROM token_tracker_budgets")
    put(store, "day", timezone=zone)
    put(store, "month", timezone=zone, period="month")
    put(store, "user", timezone=zone, scope="user", subject="u_1", period="month")
    for number, (hours, user, tokens) in enumerate(calls):
        if number == refreshed:
            store.catch_up()
        store.call(created_at=NOON + timedelta(hours=hours, minutes=7), user_id=user, total_tokens=tokens)
    for state in evaluate_budgets(store.connection, None, NOON).states:
        window, scope = state.window, state.budget.scope
        expected = sum(
            tokens
            for hours, user, tokens in calls
            if window.start <= NOON + timedelta(hours=hours, minutes=7) < window.end
            and (scope == "everybody" or user == "u_1")
        )
        assert state.used == expected


def test_a_naive_created_at_counts_in_its_own_zone(empty_database_url):
    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), model text, input_tokens integer,"
        " output_tokens integer, total_tokens integer, created_at timestamp)",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    run(
        empty_database_url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
        " VALUES ('m', 1, 2, 3, '2026-03-10 00:30'), ('m', 1, 2, 4, '2026-03-09 23:30')",
    )
    with closing(connect(empty_database_url)) as connection:
        made = Budget(name="b", period="day", measure="tokens", amount=Decimal(10), timezone="Asia/Seoul")
        budgets.save(connection, budgets.read_access(connection, None), made)
        (state,) = evaluate_budgets(connection, None, datetime(2026, 3, 10, 3, tzinfo=UTC)).states
    assert state.used == 3


# --- alerts -------------------------------------------------------------------------------------------------------


def test_an_alert_is_sent_once_at_the_percentage_and_once_at_100(store):
    put(store)
    store.call(created_at=NOON, total_tokens=790)
    assert evaluate(store.url)[1] == []
    store.call(created_at=NOON, total_tokens=10)
    _, alerts = evaluate(store.url)
    assert [(alert["type"], alert["percent"], alert["reason"]) for alert in alerts] == [
        ("token_budget_reached", 80, "budget_warning")
    ]
    assert evaluate(store.url)[1] == []
    store.call(created_at=NOON, total_tokens=200)
    _, (alert,) = evaluate(store.url)
    assert (alert["percent"], alert["reason"], alert["used"], alert["limit"]) == (100, "budget_used_up", "1000", "1000")
    assert alert["window_start"] == "2026-03-10T00:00:00+00:00"
    assert evaluate(store.url)[1] == []


def test_the_next_window_sends_an_alert_again(store):
    put(store)
    store.add({"created_at": NOON + timedelta(days=day), "total_tokens": 1000} for day in (0, 1))
    assert len(evaluate(store.url)[1]) == 1
    assert len(evaluate(store.url, NOON + timedelta(days=1))[1]) == 1


def test_what_is_over_at_once_is_one_alert_and_not_two(store):
    put(store)
    store.call(created_at=NOON, total_tokens=5000)
    assert [alert["percent"] for alert in evaluate(store.url)[1]] == [100]
    assert sorted(rows(store.url, "SELECT percent FROM token_tracker_budget_alerts")) == [(80,), (100,)]


def test_a_changed_limit_sends_an_alert_again(store):
    put(store)
    store.call(created_at=NOON, total_tokens=900)
    assert len(evaluate(store.url)[1]) == 1
    put(store, amount=Decimal(900))
    assert [alert["percent"] for alert in evaluate(store.url)[1]] == [100]


def test_of_many_parallel_evaluations_one_sends_the_alert(store):
    put(store)
    put(store, "user", scope="user", subject="anonymous")
    store.call(created_at=NOON, total_tokens=850)
    gate, alerts, failed = threading.Barrier(8), [], []

    def one() -> None:
        try:
            with closing(connect(store.url)) as connection:
                gate.wait()
                send_due_alerts(connection, None, HERE, alerts.append, NOON)
        except BaseException as error:  # noqa: BLE001  a thread's failure must reach the test
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(alert["budget"] for alert in alerts) == ["all", "user"]


def test_a_budget_of_dollars_alerts_on_dollars(store):
    put(store, measure="usd", amount=Decimal("0.10"))
    store.call(created_at=NOON, cost="0.0799999999")
    assert evaluate(store.url)[1] == []
    store.call(created_at=NOON, cost="0.0000000001")
    (alert,) = evaluate(store.url)[1]
    assert alert["used"] == "0.0800000000"


def test_a_secret_in_a_name_is_redacted(store, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-1")
    put(store, scope="user", subject="sk-very-secret-1")
    store.call(created_at=NOON, total_tokens=5000, user_id="sk-very-secret-1")
    (alert,) = evaluate(store.url)[1]
    assert "sk-very-secret-1" not in str(alert)


# --- the app's own table ------------------------------------------------------------------------------------------

TYPES = {
    "as documented": "user_id text, daily_limit integer, monthly_limit integer, alert_enabled boolean,"
    " alert_threshold numeric",
    "wide": "id serial, user_id uuid, daily_limit bigint, monthly_limit numeric(20,2), alert_enabled boolean DEFAULT"
    " true, alert_threshold real, note text",
    "bare": "user_id varchar(80), daily_limit text",
}
USER = "0190a5d1-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize("types", TYPES)
def test_limits_in_the_apps_own_table_are_read_for_all_types(store, types):
    run(store.url, f"CREATE TABLE usage_thresholds ({TYPES[types]})")
    run(store.url, f"INSERT INTO usage_thresholds (user_id, daily_limit) VALUES ('{USER}', '1000')")
    store.call(created_at=NOON, user_id=USER, total_tokens=800)
    checked, alerts = evaluate(store.url)
    assert [(s.budget.period, s.used, s.budget.own) for s in checked.states] == [("day", 800, False)]
    assert [alert["percent"] for alert in alerts] == [80]
    assert evaluate(store.url)[1] == []
    assert value(store.url, "SELECT count(*) FROM token_tracker_budgets") == 0


@pytest.mark.parametrize(
    ("threshold", "percent"), [("0.5", 50), ("50", 50), ("1", 100), ("100", 100), ("NULL", 80), ("0", 80), ("250", 80)]
)
def test_its_threshold_is_a_share_or_per_cent(store, threshold, percent):
    run(
        store.url,
        f"CREATE TABLE usage_thresholds ({TYPES['as documented']})",
        f"INSERT INTO usage_thresholds VALUES ('u_1', NULL, 500, true, {threshold}), ('u_2', 10, 0, false, 0.5)",
    )
    found = {
        (s.budget.subject, s.budget.period): s.budget for s in evaluate_budgets(store.connection, None, NOON).states
    }
    assert found["u_1", "month"].alert_percent == percent
    assert found["u_2", "day"].alert_percent is None
    assert set(found) == {("u_1", "month"), ("u_2", "day")}


def test_a_table_of_that_name_with_other_columns_or_rubbish_breaks_nothing(store):
    run(store.url, "CREATE TABLE usage_thresholds (user_id text, daily_limit text, monthly_limit text)")
    run(store.url, "INSERT INTO usage_thresholds VALUES (NULL, '5', '5'), ('u', 'many', 'NaN'), (E'a\\nb', '5', NULL)")
    put(store)
    checked, alerts = evaluate(store.url)
    assert [state.budget.name for state in checked.states] == ["all"]
    assert len(checked.remarks) == 1
    assert alerts == []


# --- rights -------------------------------------------------------------------------------------------------------


def test_a_role_without_rights_evaluates_nothing_and_gets_the_grant(store, limited_url):
    put(store)
    run(store.url, "CREATE TABLE usage_thresholds (user_id text, daily_limit integer)")
    store.call(created_at=NOON, total_tokens=5000)
    checked, alerts = evaluate(limited_url)
    assert alerts == []
    assert checked.states == []
    assert any("GRANT SELECT, INSERT ON" in remark for remark in checked.remarks)
    assert any("usage_thresholds" in remark for remark in checked.remarks)


def test_a_role_that_may_only_read_reads_budgets_and_sends_no_alert(store, new_role):
    put(store)
    store.call(created_at=NOON, total_tokens=5000)
    role = new_role()
    run(store.url, f"GRANT SELECT ON token_usage, token_tracker_budgets, token_tracker_budget_alerts TO {role}")
    checked, alerts = evaluate(with_role(store.url, role))
    assert [state.used for state in checked.states] == [5000]
    assert alerts == []
    assert len(evaluate(store.url)[1]) == 1  # a role with the privilege still sends it


def test_the_grants_that_are_named_are_enough(store, limited_url):
    put(store)
    store.call(created_at=NOON, total_tokens=5000)
    with closing(connect(limited_url)) as connection:
        remedies = budgets.read_access(connection, None).remedies
    run(store.url, *remedies)
    assert len(evaluate(limited_url)[1]) == 1


def test_row_level_security_that_hides_them_counts_as_no_right(store, limited_url):
    put(store)
    with closing(connect(limited_url)) as connection:
        run(store.url, *budgets.read_access(connection, None).remedies)
        run(store.url, "ALTER TABLE token_tracker_budgets ENABLE ROW LEVEL SECURITY")
        assert not budgets.read_access(connection, None).can_read


def test_a_database_that_was_not_migrated_has_no_budgets(store):
    run(store.url, "DROP TABLE token_tracker_budgets, token_tracker_budget_alerts")
    assert evaluate(store.url)[0].states == []
    assert budgets.read_access(store.connection, None).remedies == ["token-tracker migrate"]


@pytest.mark.pooler
def test_it_works_behind_a_transaction_pooler(store, pooler):
    put(store)
    store.call(created_at=NOON, total_tokens=5000)
    assert len(evaluate(pooler(store.url))[1]) == 1
