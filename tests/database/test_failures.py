"""Each failure of a real server becomes an error with its code, sentence and remedy."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import psycopg2
import pytest
from support import connect, run, with_database, with_role

from tracker.database import connect as driver
from tracker.database.connect import execute, translate
from tracker.database.failures import explain_connect
from tracker.database.url import clean
from tracker.errors import DatabaseError, RecordError, SetupError, TableError, TransientError
from tracker.recording.insert import Target, insert
from tracker.usage import TokenUsage


def refusal(url: str) -> DatabaseError:
    """The error of a connection that must fail."""
    with pytest.raises(DatabaseError) as caught:
        connect(url).close()
    return caught.value


def statement_refusal(url: str, statement: str) -> DatabaseError:
    with closing(connect(url)) as connection, pytest.raises(DatabaseError) as caught:
        execute(connection, statement)
    return caught.value


def texts(error: DatabaseError) -> str:
    """Everything the error could show, its causes included."""
    shown = []
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(shown)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


# --- while connecting ---------------------------------------------------------------------------------------------


def test_nothing_listens_at_the_port():
    port = free_port()
    error = refusal(f"postgresql://ann:hunter2@127.0.0.1:{port}/db")
    assert (error.code, type(error)) == ("refused", TransientError)
    assert error.sentence == f"Nothing answers at 127.0.0.1:{port}."
    assert "hunter2" not in texts(error)


def test_a_socket_directory_without_a_server(tmp_path):
    error = refusal(f"postgresql://ann@/db?host={tmp_path}")
    assert error.code == "refused"
    assert str(tmp_path) in error.sentence


def test_a_host_that_does_not_exist():
    error = refusal("postgresql://ann:hunter2@nowhere.invalid/db")
    assert (error.code, type(error)) == ("host_unknown", TransientError)
    assert error.sentence == "There is no server named nowhere.invalid."
    assert "hunter2" not in texts(error)


@pytest.mark.parametrize("host", ["certificate.invalid", "pg_hba.conf.invalid", "sslmode=require.invalid"])
def test_a_hosts_name_does_not_decide_what_went_wrong(host):
    assert refusal(f"postgresql://ann@{host}/db").code == "host_unknown"


def test_a_wrong_password(password_url, clerk):
    error = refusal(with_role(password_url, clerk.name, "hunter2-wrong"))
    assert (error.code, type(error)) == ("password_wrong", SetupError)
    assert clerk.name in error.sentence
    assert "percent-encoded" in error.remedy
    assert "hunter2" not in texts(error)


def test_a_missing_password(password_url, clerk):
    assert refusal(with_role(password_url, clerk.name, "")).code == "password_missing"


def test_the_right_password_however_odd_lets_in(password_url, clerk):
    with closing(connect(password_url)) as connection:
        assert execute(connection, "SELECT current_user::text")[1] == [(clerk.name,)]


def test_a_missing_database(server_url):
    error = refusal(with_database(server_url, f"no_such_{os.getpid()}"))
    assert (error.code, type(error)) == ("database_missing", SetupError)
    assert "no database no_such_" in error.sentence
    assert "CREATE DATABASE" in error.remedy


def test_a_missing_role(database_url, asks_for_passwords):
    error = refusal(with_role(database_url, "no_such_role", "hunter2"))
    # A server that asks for passwords tells nobody which users it has.
    code = "password_wrong" if asks_for_passwords else "role_missing"
    assert (error.code, type(error)) == (code, SetupError)
    assert "user no_such_role" in error.sentence
    assert "hunter2" not in texts(error)


@pytest.mark.direct
def test_a_role_that_may_not_log_in(database_url, new_role):
    error = refusal(with_role(database_url, new_role("NOLOGIN")))
    assert (error.code, type(error)) == ("login_refused", SetupError)


def test_a_role_that_may_not_connect_to_the_database(database_url, new_role):
    name = clean(database_url).dbname
    run(database_url, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    error = refusal(with_role(database_url, new_role()))
    assert (error.code, type(error)) == ("login_refused", SetupError)
    assert "GRANT CONNECT" in error.remedy


@pytest.mark.direct
def test_a_database_whose_connection_limit_is_reached(limited_url, database_url):
    with closing(connect(limited_url)):
        run(database_url, f"ALTER DATABASE {clean(database_url).dbname} CONNECTION LIMIT 1")
        error = refusal(limited_url)
    assert (error.code, type(error)) == ("too_many_connections", TransientError)
    assert "no connection left" in error.sentence
    assert "pooler" in error.remedy


@pytest.mark.direct
def test_a_role_whose_connection_limit_is_reached(database_url, new_role):
    url = with_role(database_url, new_role("LOGIN CONNECTION LIMIT 1"))
    with closing(connect(url)):
        assert refusal(url).code == "too_many_connections"


def test_a_server_that_speaks_no_tls(proxy):
    error = refusal(f"{proxy.url}?sslmode=require")
    assert (error.code, type(error)) == ("tls_refused", SetupError)


@pytest.mark.pooler
def test_a_pooler_that_does_not_know_the_database(pooler, server_url):
    error = refusal(with_database(pooler(server_url), "no_such_database"))
    assert (error.code, type(error)) == ("database_missing", SetupError)


@pytest.mark.parametrize(
    "said",
    ["server login has been failing, try again later (server_login_retry)", "pgbouncer cannot connect to server"],
)
def test_a_poolers_failed_login_is_distinguished_from_the_servers(said):
    error = explain_connect(said, clean("postgresql://u:hunter2@pooler.example/app"))
    assert (error.code, type(error)) == ("pooler_behind", TransientError)
    assert "The pooler at pooler.example" in error.sentence


@pytest.mark.pooler
def test_a_pooler_that_does_not_know_the_user(pooler, database_url):
    error = refusal(with_role(pooler(database_url), "no_such_role", "hunter2"))
    assert type(error) is SetupError
    assert error.code in {"role_missing", "password_wrong", "login_refused"}


# --- while running a statement ------------------------------------------------------------------------------------


def test_a_missing_table(empty_database_url):
    error = statement_refusal(empty_database_url, "INSERT INTO token_usage (id) VALUES (NULL)")
    assert (error.code, error.sqlstate, type(error)) == ("table_missing", "42P01", SetupError)
    assert "token-tracker migrate" in error.remedy


def test_a_missing_column(database_url):
    error = statement_refusal(database_url, "SELECT no_such_column FROM token_usage")
    assert (error.code, type(error)) == ("column_missing", SetupError)


def test_a_missing_right(database_url, new_role):
    url = with_role(database_url, new_role())
    error = statement_refusal(url, "INSERT INTO token_usage (model) VALUES ('m')")
    assert (error.code, error.sqlstate, type(error)) == ("right_missing", "42501", SetupError)
    assert "GRANT SELECT, INSERT" in error.remedy


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("SELECT count(*) FROM public.token_usage", "GRANT SELECT ON token_usage"),
        ("DELETE FROM public.token_usage", "GRANT SELECT, DELETE ON token_usage"),
        ("UPDATE public.token_usage SET cost = 1", "GRANT SELECT, UPDATE ON token_usage"),
        (
            "WITH changed AS (\n  UPDATE token_usage SET cost = 1 RETURNING id) SELECT count(*) FROM changed",
            "GRANT SELECT, UPDATE ON token_usage",
        ),
        ("SELECT one FROM token_tracker_rollup_state FOR UPDATE", "GRANT SELECT, UPDATE ON token_tracker_rollup_state"),
        (
            "INSERT INTO token_tracker_span_state VALUES (true)\n ON CONFLICT (only_row) DO UPDATE SET only_row = true",
            "GRANT SELECT, INSERT, UPDATE ON token_tracker_span_state",
        ),
        ("INSERT INTO public.token_tracker_ledger (kind) VALUES ('x')", "GRANT SELECT, INSERT ON token_tracker_ledger"),
        ("ALTER TABLE token_usage ADD COLUMN x text", "Migrate as its owner"),
        ("CREATE INDEX ON token_usage (model)", "Migrate as its owner"),
        ("CREATE TABLE token_tracker_new (x text)", "GRANT CREATE, USAGE ON SCHEMA"),
    ],
)
def test_the_right_and_the_object_that_are_missing_are_named(database_url, new_role, statement, remedy):
    run(database_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is from PostgreSQL 15 on
    error = statement_refusal(with_role(database_url, new_role()), statement)
    assert (error.code, error.sqlstate) == ("right_missing", "42501")
    assert remedy in error.remedy


def test_a_schema_that_is_closed_to_the_role_is_named_as_the_cause(database_url, new_role):
    run(database_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    error = statement_refusal(with_role(database_url, new_role()), "SELECT count(*) FROM public.token_usage")
    assert "GRANT USAGE ON SCHEMA" in error.remedy


def test_an_insert_only_role_gets_the_grant_for_select(database_url, new_role):
    role = new_role()
    run(database_url, f"GRANT INSERT ON token_usage TO {role}")
    with closing(connect(with_role(database_url, role))) as connection, pytest.raises(DatabaseError) as caught:
        insert(connection, Target("public"), TokenUsage(model="m").as_row())
    assert caught.value.code == "right_missing"
    assert "GRANT SELECT, INSERT" in caught.value.remedy


def test_row_level_security_without_a_policy(limited_url, database_url):
    run(database_url, "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY")
    error = statement_refusal(
        limited_url, "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('m', 1, 1, 2)"
    )
    assert error.code == "right_missing"
    assert "CREATE POLICY" in error.remedy


@pytest.mark.parametrize(
    ("statement", "code", "kind"),
    [
        ("INSERT INTO token_usage (model) VALUES (NULL)", "value_required", TableError),
        (
            "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('m', -1, 1, 1)",
            "constraint_violated",
            RecordError,
        ),
        ("INSERT INTO token_usage (input_tokens) VALUES (99999999999)", "value_refused", RecordError),
    ],
)
def test_a_record_that_the_table_does_not_take(database_url, statement, code, kind):
    error = statement_refusal(database_url, statement)
    assert (error.code, type(error)) == (code, kind)


def test_the_error_contains_the_constraint_and_not_the_value(database_url):
    error = statement_refusal(
        database_url,
        "INSERT INTO token_usage (model, user_id, input_tokens, output_tokens, total_tokens)"
        " VALUES ('m', 'secret-user', -1, 1, 1)",
    )
    assert "token_usage_input_tokens_check" in error.sentence
    assert "secret-user" not in texts(error)


def plain(url):
    """A connection as recording makes them, which takes a session as it is."""
    return driver.connect(clean(url), timeout_s=10, application_name="tests")


@pytest.mark.parametrize(
    ("setup", "statement", "code"),
    [
        ("SET statement_timeout = 50", "SELECT pg_sleep(30)", "statement_timeout"),
        ("SET default_transaction_read_only = on", "DELETE FROM token_usage", "read_only"),
    ],
)
def test_what_passes_by_itself_is_transient(database_url, setup, statement, code):
    with closing(plain(database_url)) as connection:
        execute(connection, setup)
        with pytest.raises(TransientError) as caught:
            execute(connection, statement)
    assert caught.value.code == code


@pytest.mark.parametrize("setup", ["SET statement_timeout = 1", "SET default_transaction_read_only = on"])
def test_a_steady_connection_heeds_nothing_that_another_client_left_behind(database_url, setup):
    with closing(connect(database_url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(setup)  # past `execute`, as a pooler's other client does
        execute(connection, "SELECT pg_sleep(0.05)")
        execute(connection, "DELETE FROM token_usage")
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)  # nothing stays behind for the next one


@pytest.mark.direct
def test_a_connection_ended_by_the_administrator_is_a_lost_connection(database_url):
    with closing(connect(database_url)) as connection:
        run(database_url, f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(TransientError) as caught:
            execute(connection, "SELECT 1")
    assert caught.value.code in {"connection_lost", "server_stopped"}


def test_an_error_that_is_not_the_drivers_is_named_by_its_type_alone():
    error = translate(RuntimeError("password=hunter2"))
    assert "RuntimeError" in error.sentence
    assert "hunter2" not in texts(error)


def test_a_closed_connection_is_a_lost_one(database_url):
    connection = connect(database_url)
    connection.close()
    with pytest.raises(TransientError, match="lost"):
        execute(connection, "SELECT 1")


def test_the_drivers_own_text_never_shows(database_url):
    error = statement_refusal(database_url, "SELECT 'hunter2' FROM token_usage WHERE nonsense")
    assert "hunter2" not in texts(error)
    assert not isinstance(error.__cause__, psycopg2.Error)
