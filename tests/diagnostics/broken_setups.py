"""The broken setups: how each is made, and the code of its cause, which must be the first recommendation."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import psycopg2
from refusing import refusing
from support import locked, run, with_database, with_parameters, with_role

from tracker.database.url import clean

Setup = Callable[[Any], Mapping[str, str]]
SETUPS: dict[str, tuple[str, Setup]] = {}


def causes(code: str) -> Callable[[Setup], Setup]:
    """Registers a setup with the code of its cause."""

    def register(make: Setup) -> Setup:
        SETUPS[make.__name__] = (code, make)
        return make

    return register


def url(text: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": text, **more}


LOCAL = {"TRACKER_PLATFORM": "local"}

# --- the variable ---------------------------------------------------------------------------------------------------


@causes("database_url_missing")
def no_variable(setup):
    return {}


@causes("blank")
def white_space_only(setup):
    return url("   ")


@causes("quotes")
def quotes_left_in(setup):
    return url(f'"{setup.url}"')


@causes("quotes")
def one_quote_left_in(setup):
    return url(f'"{setup.url}')


@causes("newline")
def trailing_newline(setup):
    return url(setup.url + "\n")


@causes("newline")
def newline_written_out(setup):
    return url(setup.url + r"\n")


@causes("white_space")
def leading_space(setup):
    return url("  " + setup.url)


@causes("wrong_scheme")
def mysql_address(setup):
    return url("mysql://u:p4ssw0rd@db.example.com:3306/app")


@causes("wrong_scheme")
def address_of_the_api(setup):
    return url("https://abcdefgh.supabase.co")


@causes("malformed")
def not_a_url(setup):
    return url("abcdefgh")


@causes("placeholder")
def placeholder_left_in(setup):
    return url("postgresql://postgres:[YOUR-PASSWORD]@db.example.com:5432/postgres")


@causes("name_in_value")
def name_pasted_with_the_value(setup):
    return url("DATABASE_URL=" + setup.url)


@causes("unexpanded")
def reference_not_replaced(setup):
    return url("${POSTGRES_PRISMA_URL}")


@causes("command")
def psql_command(setup):
    return url(f"psql '{setup.url}'")


@causes("malformed")
def bare_percent_in_the_password(setup):
    return url("postgresql://u:50%off-s3cr3t@127.0.0.1:5432/app")


@causes("malformed")
def invalid_port(setup):
    return url("postgresql://u:p4ssw0rd@127.0.0.1:54x2/app")


@causes("setting_malformed")
def invalid_setting(setup):
    return url(setup.url, TRACKER_POOL_SIZE="many")


@causes("tls_unreadable")
def tls_mode_in_capitals(setup):
    return url(with_parameters(setup.url, "sslmode=REQUIRE"))


@causes("tls_unreadable")
def unknown_tls_parameter(setup):
    return url(with_parameters(setup.url, "ssl_mode=verify-full"))


@causes("setting_malformed")
def invalid_list_of_users(setup):
    return url(setup.url, TRACKER_DASHBOARD_USERS="ann")


@causes("exposed_secret")
def secret_in_the_browser(setup):
    return url(setup.url, NEXT_PUBLIC_SUPABASE_SERVICE_ROLE_KEY="eyJhbGciOi.eyJyb2xlIjoi.signature")


@causes("exposed_secret")
def address_in_the_browser(setup):
    return url(setup.url, NEXT_PUBLIC_DB=setup.url)


@causes("background_on_serverless")
def background_where_nothing_runs_after_the_response(setup):
    return url(setup.url, TRACKER_MODE="background")


@causes("pool_large")
def pool_of_a_server_in_a_function(setup):
    return url(setup.url, TRACKER_POOL_SIZE="40")


# --- the network ----------------------------------------------------------------------------------------------------


@causes("host_unknown")
def wrong_host(setup):
    return url(setup.on_port(5432, "db.nowhere.invalid"))


@causes("refused")
def wrong_port(setup):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return url(setup.on_port(port), **LOCAL)


@causes("localhost")
def localhost_when_deployed(setup):
    return url(setup.on_port(1, "localhost"))


@causes("ipv6_only")
def host_with_only_ipv6(setup):
    return url(setup.on_port(5432, "[2001:db8::1]"))


@causes("not_postgres")
def port_of_a_web_server(setup):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    setup.stack.callback(thread.join)
    setup.stack.callback(server.server_close)
    setup.stack.callback(server.shutdown)
    return url(setup.on_port(server.server_port))


@causes("silent")
def port_that_sends_no_reply(setup):
    silent = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return url(setup.on_port(silent.getsockname()[1]))


@causes("timeout")
def firewall_that_drops(setup):
    """A full queue drops the first packet of every further connection, as a firewall does."""
    full = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        client = setup.stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(full.getsockname())
    return url(setup.on_port(full.getsockname()[1]))


@causes("hung_up")
def port_that_hangs_up(setup):
    listener = setup.stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def hang_up() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.close()

    threading.Thread(target=hang_up, daemon=True).start()
    setup.stack.callback(listener.shutdown, socket.SHUT_RDWR)
    return url(setup.on_port(listener.getsockname()[1]))


# --- TLS ------------------------------------------------------------------------------------------------------------


@causes("tls_refused")
def tls_that_the_server_does_not_support(setup):
    return url(setup.on_port(setup.proxy().port, query="?sslmode=require"))


@causes("tls_required")
def tls_that_the_server_requires(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    return url(setup.on_port(port, query="?sslmode=disable"))


@causes("certificate_expired")
def expired_certificate(setup):
    port, root = setup.fixture("tls_pooler")("localhost", "20200101000000Z", "20210101000000Z")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_not_yet")
def certificate_of_the_future(setup):
    port, root = setup.fixture("tls_pooler")("localhost", "20800101000000Z", "20900101000000Z")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_host")
def certificate_of_another_host(setup):
    port, root = setup.fixture("tls_pooler")("db.example.com")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_unknown")
def certificate_of_an_unknown_authority(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    _, other = setup.fixture("certificates")("localhost")
    return url(setup.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={other}"))


@causes("root_certificate")
def root_certificate_that_was_not_deployed(setup):
    port, _ = setup.fixture("tls_pooler")("localhost")
    return url(setup.on_port(port, "localhost", "?sslmode=verify-full&sslrootcert=/nowhere/root.crt"))


# --- the login ------------------------------------------------------------------------------------------------------


@causes("password_wrong")
def wrong_password(setup):
    return url(with_role(setup.plain_url, setup.fixture("clerk").name, "not-the-p4ssword"))


@causes("password_missing")
def no_password(setup):
    return url(with_role(setup.plain_url, setup.fixture("clerk").name, ""))


@causes("role_missing")
def unknown_user(setup):
    if setup.fixture("asks_for_passwords"):
        setup.cause = "password_wrong"  # such a server doesn't reveal which users exist
    return url(setup.of_role("nobody_of_this_name"))


@causes("database_missing")
def unknown_database(setup):
    setup.skip_behind_pooler()
    return url(with_database(setup.url, "no_such_database"))


@causes("login_refused")
def role_that_may_not_log_in(setup):
    setup.skip_behind_pooler()
    return url(setup.of_role(setup.new_role("NOLOGIN")))


@causes("login_refused")
def role_that_may_not_connect(setup):
    setup.skip_behind_pooler()
    run(setup.plain_url, f"REVOKE CONNECT ON DATABASE {clean(setup.plain_url).dbname} FROM PUBLIC")
    return url(setup.of_role(setup.new_role()))


@causes("too_many_connections")
def role_with_no_connection_left(setup):
    setup.skip_behind_pooler()
    role = setup.new_role("LOGIN CONNECTION LIMIT 1")
    run(setup.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    setup.stack.callback(psycopg2.connect(setup.of_role(role)).close)
    return url(setup.of_role(role))


@causes("too_many_connections")
def database_with_no_connection_left(setup):
    setup.skip_behind_pooler()
    role = setup.new_role()
    run(setup.plain_url, f"ALTER DATABASE {clean(setup.plain_url).dbname} CONNECTION LIMIT 1")
    setup.stack.callback(psycopg2.connect(setup.plain_url).close)
    return url(setup.of_role(role))


@causes("parameter_refused")
def pooler_that_refuses_a_parameter(setup):
    setup.skip_behind_pooler()
    return url(setup.fixture("pooler")(setup.plain_url), PGOPTIONS="-c statement_timeout=5s")


def refused_login(setup, sqlstate, message):
    return url(setup.stack.enter_context(refusing(sqlstate, message)).url)


@causes("session_pool_full")
def session_pooler_without_a_connection(setup):
    message = "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15"
    return refused_login(setup, "XX000", message)


@causes("tenant_unnamed")
def user_without_the_project(setup):
    return refused_login(setup, "XX000", "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname)")


@causes("quota_exceeded")
def quota_of_the_provider(setup):
    return refused_login(setup, "XX000", "Your account or project has exceeded the compute time quota.")


@causes("pooler_credentials")
def proxy_without_the_roles_secret(setup):
    return refused_login(setup, "28000", "This RDS proxy has no credentials for the role app. Check the credentials.")


@causes("password_wrong")
def korean_server_that_refuses_the_password(setup):
    return refused_login(setup, "28P01", '사용자 "app"의 password 인증을 실패했습니다')


@causes("connect_refused")
def unknown_refusal(setup):
    return refused_login(setup, "XX000", "the flux capacitor is empty")


@causes("statement_pooling")
def pooler_in_statement_mode(setup):
    setup.skip_behind_pooler()
    setup.through_pooler = True
    return url(setup.fixture("statement_pooler")(setup.plain_url), TRACKER_DEADLINE_S="5")


@causes("silent_after_login")
def server_that_stops_answering(setup):
    """The login succeeds, but the first statement gets no answer."""
    setup.is_repeatable = False  # the proxy then accepts no new connection
    proxy = setup.proxy()
    note = proxy._note

    def swallow(text: str) -> tuple[bool, bool]:
        proxy.swallow = True
        return note(text)

    proxy._note = swallow
    return url(setup.on_port(proxy.port))


@causes("connection_lost")
def connection_that_is_cut(setup):
    proxy = setup.proxy()
    note = proxy._note
    proxy._note = lambda text: (True, note(text)[1])
    return url(setup.on_port(proxy.port))


# --- the database ---------------------------------------------------------------------------------------------------


@causes("table_missing")
def no_table(setup):
    return url(setup.empty_url)


@causes("schema_missing")
def no_schema(setup):
    return url(with_parameters(setup.url, "schema=nowhere"))


@causes("column_missing")
def table_that_was_not_migrated(setup):
    run(
        setup.empty_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz DEFAULT now(),"
        " user_id text NOT NULL, model text NOT NULL, operation text, input_tokens int, output_tokens int,"
        " total_tokens int, cost numeric(10,6))",
    )
    return url(setup.empty_url)


@causes("column_missing")
def column_that_was_dropped(setup):
    run(setup.plain_url, "ALTER TABLE token_usage DROP COLUMN delivery")
    return url(setup.url)


@causes("right_missing")
def no_right_to_insert(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT SELECT ON token_usage TO {role}")
    return url(setup.of_role(role))


@causes("right_missing")
def no_right_to_select(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT INSERT ON token_usage TO {role}")
    return url(setup.of_role(role))


@causes("right_missing")
def no_right_to_the_schema(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}", "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    return url(setup.of_role(role))


@causes("right_missing")
def row_level_security_without_a_policy(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
    )
    return url(setup.of_role(role))


@causes("right_missing")
def row_level_security_with_a_policy_only_for_inserts(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY inserts ON token_usage FOR INSERT TO {role} WITH CHECK (true)",
    )
    return url(setup.of_role(role))


@causes("not_adoptable")
def id_that_is_not_unique(setup):
    run(setup.plain_url, "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey")
    return url(setup.url)


@causes("not_adoptable")
def view_instead_of_the_table(setup):
    run(
        setup.plain_url,
        "ALTER TABLE token_usage RENAME TO calls",
        "CREATE VIEW token_usage AS SELECT DISTINCT * FROM calls",
    )
    return url(setup.url)


@causes("not_adoptable")
def column_that_every_insert_must_name(setup):
    run(setup.plain_url, "ALTER TABLE token_usage ADD COLUMN note_id bigint NOT NULL")
    return url(setup.url)


@causes("duplicate_indexes")
def indexes_that_an_earlier_version_built_twice(setup):
    run(
        setup.plain_url,
        "CREATE INDEX token_usage_created_at_idx1 ON token_usage (created_at)",
        "CREATE INDEX token_usage_user_id_created_at_idx1 ON token_usage (user_id, created_at)",
    )
    return url(setup.url)


@causes("constraint_violated")
def constraint_that_refuses_records(setup):
    run(setup.plain_url, "ALTER TABLE token_usage ADD CHECK (user_id LIKE 'u@_%' ESCAPE '@')")
    return url(setup.url)


@causes("defaults_refused")
def foreign_key_that_the_default_user_violates(setup):
    run(
        setup.plain_url,
        "CREATE TABLE users (id text PRIMARY KEY)",
        "INSERT INTO users VALUES ('u1')",
        "INSERT INTO token_usage (user_id, model, input_tokens, output_tokens, total_tokens)"
        " VALUES ('u1', 'gpt-4o', 1, 1, 2)",
        "ALTER TABLE token_usage ADD FOREIGN KEY (user_id) REFERENCES users (id)",
    )
    return url(setup.url)


@causes("undated_rows")
def rows_without_a_time(setup):
    run(
        setup.plain_url,
        "ALTER TABLE token_usage ALTER COLUMN created_at DROP NOT NULL",
        "INSERT INTO token_usage (created_at, model, input_tokens, output_tokens, total_tokens)"
        " VALUES (NULL, 'gpt-4o', 1, 1, 2)",
    )
    return url(setup.url)


@causes("two_tables")
def table_in_another_schema_too(setup):
    name = clean(setup.plain_url).dbname
    run(
        setup.plain_url,
        "CREATE SCHEMA ai",
        "CREATE TABLE ai.token_usage (LIKE public.token_usage INCLUDING ALL)",
        f"ALTER ROLE {setup.role} IN DATABASE {name} SET search_path = ai, public",
    )
    return url(setup.url)


@causes("replica_identity_missing")
def tables_that_are_published(setup):
    run(setup.plain_url, "CREATE PUBLICATION everything FOR ALL TABLES")
    return url(setup.url)


@causes("locked")
def locked_table(setup):
    setup.stack.enter_context(locked(setup.plain_url))
    return url(setup.url)


@causes("read_only")
def read_only_replica(setup):
    return url(with_role(setup.fixture("standby_url")(setup.plain_url), "postgres"))


@causes("read_only_default")
def role_with_read_only_sessions(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    return url(setup.of_role(role))


@causes("migration_pending")
def tables_of_an_earlier_version(setup):
    run(
        setup.plain_url,
        "DROP TABLE token_tracker_ledger, token_tracker_alerts",
        "DELETE FROM token_tracker_migrations WHERE version = 3",
    )
    return url(setup.url)


@causes("few_slots")
def role_with_few_connections_left(setup):
    setup.skip_behind_pooler()
    role = setup.new_role("LOGIN CONNECTION LIMIT 3")
    run(setup.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    return url(setup.of_role(role))


@causes("clock_off")
def clock_that_is_wrong(setup):
    setup.clock_offset_s, setup.is_repeatable = 600, False  # only this report uses the shifted clock
    return url(setup.url)


@causes("far_away")
def database_on_another_continent(setup):
    proxy = setup.proxy()
    proxy.delay_to_server_ms = 80
    return url(setup.on_port(proxy.port))


# --- this machine ---------------------------------------------------------------------------------------------------


@causes("outbox_unwritable")
def outbox_that_cannot_be_written(setup):
    (setup.directory / "file").touch()
    return url(setup.url, TRACKER_OUTBOX=str(setup.directory / "file" / "outbox.db"))


@causes("outbox_damaged")
def outbox_that_is_damaged(setup):
    (setup.directory / "outbox.db").write_bytes(b"not a database" * 1000)
    return url(setup.url, TRACKER_OUTBOX=str(setup.directory / "outbox.db"))


def secret_forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as a URL or JSON writes it."""
    import json
    from urllib.parse import quote_plus

    return (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1])
