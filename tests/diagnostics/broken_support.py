"""The table of broken set-ups: what to do to a place, and the cause that must be named first."""

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
    """Enter a set-up and the code of its cause."""

    def enter(make: Setup) -> Setup:
        SETUPS[make.__name__] = (code, make)
        return make

    return enter


def url(text: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": text, **more}


HERE = {"TRACKER_PLATFORM": "local"}

# --- the variable ---------------------------------------------------------------------------------------------------


@causes("database_url_missing")
def no_variable(place):
    return {}


@causes("blank")
def only_white_space(place):
    return url("   ")


@causes("quotes")
def quotes_left_in(place):
    return url(f'"{place.url}"')


@causes("quotes")
def one_quote_left_in(place):
    return url(f'"{place.url}')


@causes("newline")
def trailing_newline(place):
    return url(place.url + "\n")


@causes("newline")
def newline_written_out(place):
    return url(place.url + r"\n")


@causes("white_space")
def leading_space(place):
    return url("  " + place.url)


@causes("wrong_scheme")
def mysql_address(place):
    return url("mysql://u:p4ssw0rd@db.example.com:3306/app")


@causes("wrong_scheme")
def address_of_the_api(place):
    return url("https://abcdefgh.supabase.co")


@causes("malformed")
def not_an_address(place):
    return url("abcdefgh")


@causes("placeholder")
def placeholder_left_in(place):
    return url("postgresql://postgres:[YOUR-PASSWORD]@db.example.com:5432/postgres")


@causes("name_in_value")
def name_pasted_too(place):
    return url("DATABASE_URL=" + place.url)


@causes("unexpanded")
def reference_not_replaced(place):
    return url("${POSTGRES_PRISMA_URL}")


@causes("command")
def psql_command(place):
    return url(f"psql '{place.url}'")


@causes("malformed")
def bare_percent_in_the_password(place):
    return url("postgresql://u:50%off-s3cr3t@127.0.0.1:5432/app")


@causes("malformed")
def port_that_is_none(place):
    return url("postgresql://u:p4ssw0rd@127.0.0.1:54x2/app")


@causes("setting_malformed")
def setting_that_cannot_be_read(place):
    return url(place.url, TRACKER_POOL_SIZE="many")


@causes("tls_unreadable")
def mode_of_tls_in_capitals(place):
    return url(with_parameters(place.url, "sslmode=REQUIRE"))


@causes("tls_unreadable")
def parameter_of_tls_that_nobody_knows(place):
    return url(with_parameters(place.url, "ssl_mode=verify-full"))


@causes("setting_malformed")
def list_of_users_that_cannot_be_read(place):
    return url(place.url, TRACKER_DASHBOARD_USERS="ann")


@causes("exposed_secret")
def secret_in_the_browser(place):
    return url(place.url, NEXT_PUBLIC_SUPABASE_SERVICE_ROLE_KEY="eyJhbGciOi.eyJyb2xlIjoi.signature")


@causes("exposed_secret")
def address_in_the_browser(place):
    return url(place.url, NEXT_PUBLIC_DB=place.url)


@causes("background_on_serverless")
def background_where_nothing_runs_after_the_response(place):
    return url(place.url, TRACKER_MODE="background")


@causes("pool_large")
def pool_of_a_server_in_a_function(place):
    return url(place.url, TRACKER_POOL_SIZE="40")


# --- the network ----------------------------------------------------------------------------------------------------


@causes("host_unknown")
def wrong_host(place):
    return url(place.on_port(5432, "db.nowhere.invalid"))


@causes("refused")
def wrong_port(place):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return url(place.on_port(port), **HERE)


@causes("localhost")
def localhost_when_deployed(place):
    return url(place.on_port(1, "localhost"))


@causes("ipv6_only")
def host_with_ipv6_alone(place):
    return url(place.on_port(5432, "[2001:db8::1]"))


@causes("not_postgres")
def port_of_a_web_server(place):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    place.stack.callback(thread.join)
    place.stack.callback(server.server_close)
    place.stack.callback(server.shutdown)
    return url(place.on_port(server.server_port))


@causes("silent")
def port_that_says_nothing(place):
    silent = place.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return url(place.on_port(silent.getsockname()[1]))


@causes("timeout")
def firewall_that_drops(place):
    """A full queue drops the first packet of every further connection, as a firewall does."""
    full = place.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        guest = place.stack.enter_context(socket.socket())
        guest.setblocking(False)
        guest.connect_ex(full.getsockname())
    return url(place.on_port(full.getsockname()[1]))


@causes("hung_up")
def port_that_hangs_up(place):
    listener = place.stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def hang_up() -> None:
        while True:
            try:
                guest, _ = listener.accept()
            except OSError:
                return
            guest.close()

    threading.Thread(target=hang_up, daemon=True).start()
    place.stack.callback(listener.shutdown, socket.SHUT_RDWR)
    return url(place.on_port(listener.getsockname()[1]))


# --- TLS ------------------------------------------------------------------------------------------------------------


@causes("tls_refused")
def tls_that_the_server_does_not_speak(place):
    return url(place.on_port(place.proxy().port, query="?sslmode=require"))


@causes("tls_required")
def tls_that_the_server_insists_on(place):
    port, _ = place.fixture("tls_pooler")("localhost")
    return url(place.on_port(port, query="?sslmode=disable"))


@causes("certificate_expired")
def expired_certificate(place):
    port, root = place.fixture("tls_pooler")("localhost", "20200101000000Z", "20210101000000Z")
    return url(place.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_not_yet")
def certificate_of_the_future(place):
    port, root = place.fixture("tls_pooler")("localhost", "20800101000000Z", "20900101000000Z")
    return url(place.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_host")
def certificate_of_another_host(place):
    port, root = place.fixture("tls_pooler")("db.example.com")
    return url(place.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={root}"))


@causes("certificate_unknown")
def certificate_that_nobody_signed(place):
    port, _ = place.fixture("tls_pooler")("localhost")
    _, other = place.fixture("certificates")("localhost")
    return url(place.on_port(port, "localhost", f"?sslmode=verify-full&sslrootcert={other}"))


@causes("root_certificate")
def root_certificate_that_was_not_deployed(place):
    port, _ = place.fixture("tls_pooler")("localhost")
    return url(place.on_port(port, "localhost", "?sslmode=verify-full&sslrootcert=/nowhere/root.crt"))


# --- the login ------------------------------------------------------------------------------------------------------


@causes("password_wrong")
def wrong_password(place):
    return url(with_role(place.plain_url, place.fixture("clerk").name, "not-the-p4ssword"))


@causes("password_missing")
def no_password(place):
    return url(with_role(place.plain_url, place.fixture("clerk").name, ""))


@causes("role_missing")
def unknown_user(place):
    if place.fixture("asks_for_passwords"):
        place.cause = "password_wrong"  # such a server tells nobody which users it has
    return url(place.of_role("nobody_of_this_name"))


@causes("database_missing")
def unknown_database(place):
    place.asks_the_server_itself()
    return url(with_database(place.url, "no_such_database"))


@causes("login_refused")
def role_that_may_not_log_in(place):
    place.asks_the_server_itself()
    return url(place.of_role(place.new_role("NOLOGIN")))


@causes("login_refused")
def role_that_may_not_connect(place):
    place.asks_the_server_itself()
    run(place.plain_url, f"REVOKE CONNECT ON DATABASE {clean(place.plain_url).dbname} FROM PUBLIC")
    return url(place.of_role(place.new_role()))


@causes("too_many_connections")
def role_with_no_connection_left(place):
    place.asks_the_server_itself()
    role = place.new_role("LOGIN CONNECTION LIMIT 1")
    run(place.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    place.stack.callback(psycopg2.connect(place.of_role(role)).close)
    return url(place.of_role(role))


@causes("too_many_connections")
def database_with_no_connection_left(place):
    place.asks_the_server_itself()
    role = place.new_role()
    run(place.plain_url, f"ALTER DATABASE {clean(place.plain_url).dbname} CONNECTION LIMIT 1")
    place.stack.callback(psycopg2.connect(place.plain_url).close)
    return url(place.of_role(role))


@causes("parameter_refused")
def pooler_that_refuses_a_parameter(place):
    place.asks_the_server_itself()
    return url(place.fixture("pooler")(place.plain_url), PGOPTIONS="-c statement_timeout=5s")


def refused_login(place, sqlstate, message):
    return url(place.stack.enter_context(refusing(sqlstate, message)).url)


@causes("session_pool_full")
def session_pooler_without_a_connection(place):
    said = "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15"
    return refused_login(place, "XX000", said)


@causes("tenant_unnamed")
def user_without_the_project(place):
    return refused_login(place, "XX000", "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname)")


@causes("quota_exceeded")
def quota_of_the_provider(place):
    return refused_login(place, "XX000", "Your account or project has exceeded the compute time quota.")


@causes("pooler_credentials")
def proxy_without_the_roles_secret(place):
    return refused_login(place, "28000", "This RDS proxy has no credentials for the role app. Check the credentials.")


@causes("password_wrong")
def korean_server_that_refuses_the_password(place):
    return refused_login(place, "28P01", '사용자 "app"의 password 인증을 실패했습니다')


@causes("connect_refused")
def refusal_that_nobody_knows(place):
    return refused_login(place, "XX000", "the flux capacitor is empty")


@causes("statement_pooling")
def pooler_in_statement_mode(place):
    place.asks_the_server_itself()
    place.through_pooler = True
    return url(place.fixture("statement_pooler")(place.plain_url), TRACKER_DEADLINE_S="5")


@causes("silent_after_login")
def server_that_falls_silent(place):
    """The login gets through, the first statement's answer never comes."""
    place.lasts = False  # once silent, the proxy lets nobody in any more
    proxy = place.proxy()
    note = proxy._note

    def swallow(text: str) -> tuple[bool, bool]:
        proxy.swallow = True
        return note(text)

    proxy._note = swallow
    return url(place.on_port(proxy.port))


@causes("connection_lost")
def connection_that_is_cut(place):
    proxy = place.proxy()
    note = proxy._note
    proxy._note = lambda text: (True, note(text)[1])
    return url(place.on_port(proxy.port))


# --- the database ---------------------------------------------------------------------------------------------------


@causes("table_missing")
def no_table(place):
    return url(place.empty_url)


@causes("schema_missing")
def no_schema(place):
    return url(with_parameters(place.url, "schema=nowhere"))


@causes("column_missing")
def table_that_was_not_migrated(place):
    run(
        place.empty_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz DEFAULT now(),"
        " user_id text NOT NULL, model text NOT NULL, operation text, input_tokens int, output_tokens int,"
        " total_tokens int, cost numeric(10,6))",
    )
    return url(place.empty_url)


@causes("column_missing")
def column_that_was_dropped(place):
    run(place.plain_url, "ALTER TABLE token_usage DROP COLUMN delivery")
    return url(place.url)


@causes("right_missing")
def no_right_to_insert(place):
    role = place.new_role()
    run(place.plain_url, f"GRANT SELECT ON token_usage TO {role}")
    return url(place.of_role(role))


@causes("right_missing")
def no_right_to_select(place):
    role = place.new_role()
    run(place.plain_url, f"GRANT INSERT ON token_usage TO {role}")
    return url(place.of_role(role))


@causes("right_missing")
def no_right_to_the_schema(place):
    role = place.new_role()
    run(place.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}", "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    return url(place.of_role(role))


@causes("right_missing")
def row_level_security_without_a_policy(place):
    role = place.new_role()
    run(
        place.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
    )
    return url(place.of_role(role))


@causes("right_missing")
def row_level_security_with_a_policy_for_inserts_alone(place):
    role = place.new_role()
    run(
        place.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY inserts ON token_usage FOR INSERT TO {role} WITH CHECK (true)",
    )
    return url(place.of_role(role))


@causes("not_adoptable")
def id_that_is_not_unique(place):
    run(place.plain_url, "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey")
    return url(place.url)


@causes("not_adoptable")
def view_in_the_place_of_the_table(place):
    run(
        place.plain_url,
        "ALTER TABLE token_usage RENAME TO calls",
        "CREATE VIEW token_usage AS SELECT DISTINCT * FROM calls",
    )
    return url(place.url)


@causes("not_adoptable")
def column_that_every_insert_must_name(place):
    run(place.plain_url, "ALTER TABLE token_usage ADD COLUMN note_id bigint NOT NULL")
    return url(place.url)


@causes("duplicate_indexes")
def indexes_that_an_earlier_version_built_twice(place):
    run(
        place.plain_url,
        "CREATE INDEX token_usage_created_at_idx1 ON token_usage (created_at)",
        "CREATE INDEX token_usage_user_id_created_at_idx1 ON token_usage (user_id, created_at)",
    )
    return url(place.url)


@causes("constraint_violated")
def constraint_that_refuses_records(place):
    run(place.plain_url, "ALTER TABLE token_usage ADD CHECK (user_id LIKE 'u@_%' ESCAPE '@')")
    return url(place.url)


@causes("defaults_refused")
def foreign_key_that_our_own_user_violates(place):
    run(
        place.plain_url,
        "CREATE TABLE users (id text PRIMARY KEY)",
        "INSERT INTO users VALUES ('u1')",
        "INSERT INTO token_usage (user_id, model, input_tokens, output_tokens, total_tokens)"
        " VALUES ('u1', 'gpt-4o', 1, 1, 2)",
        "ALTER TABLE token_usage ADD FOREIGN KEY (user_id) REFERENCES users (id)",
    )
    return url(place.url)


@causes("undated_rows")
def rows_without_a_time(place):
    run(
        place.plain_url,
        "ALTER TABLE token_usage ALTER COLUMN created_at DROP NOT NULL",
        "INSERT INTO token_usage (created_at, model, input_tokens, output_tokens, total_tokens)"
        " VALUES (NULL, 'gpt-4o', 1, 1, 2)",
    )
    return url(place.url)


@causes("two_tables")
def table_in_another_schema_too(place):
    name = clean(place.plain_url).dbname
    run(
        place.plain_url,
        "CREATE SCHEMA ai",
        "CREATE TABLE ai.token_usage (LIKE public.token_usage INCLUDING ALL)",
        f"ALTER ROLE {place.role} IN DATABASE {name} SET search_path = ai, public",
    )
    return url(place.url)


@causes("replica_identity_missing")
def tables_that_are_published(place):
    run(place.plain_url, "CREATE PUBLICATION everything FOR ALL TABLES")
    return url(place.url)


@causes("locked")
def table_that_somebody_locked(place):
    place.stack.enter_context(locked(place.plain_url))
    return url(place.url)


@causes("read_only")
def read_only_replica(place):
    return url(with_role(place.fixture("standby_url")(place.plain_url), "postgres"))


@causes("read_only_default")
def role_that_begins_read_only(place):
    role = place.new_role()
    run(
        place.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    return url(place.of_role(role))


@causes("migration_pending")
def tables_of_an_earlier_version(place):
    run(
        place.plain_url,
        "DROP TABLE token_tracker_ledger, token_tracker_alerts",
        "DELETE FROM token_tracker_migrations WHERE version = 3",
    )
    return url(place.url)


@causes("few_slots")
def role_with_few_connections_left(place):
    place.asks_the_server_itself()
    role = place.new_role("LOGIN CONNECTION LIMIT 3")
    run(place.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    return url(place.of_role(role))


@causes("clock_off")
def clock_that_is_wrong(place):
    place.clock_offset_s, place.lasts = 600, False  # it is the report's own clock
    return url(place.url)


@causes("far_away")
def database_on_another_continent(place):
    proxy = place.proxy()
    proxy.delay_to_server_ms = 80
    return url(place.on_port(proxy.port))


# --- this machine ---------------------------------------------------------------------------------------------------


@causes("outbox_unwritable")
def outbox_that_cannot_be_written(place):
    (place.directory / "file").touch()
    return url(place.url, TRACKER_OUTBOX=str(place.directory / "file" / "outbox.db"))


@causes("outbox_damaged")
def outbox_that_is_damaged(place):
    (place.directory / "outbox.db").write_bytes(b"not a database" * 1000)
    return url(place.url, TRACKER_OUTBOX=str(place.directory / "outbox.db"))


def secret_forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as a URL or JSON writes it."""
    import json
    from urllib.parse import quote_plus

    return (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1])
