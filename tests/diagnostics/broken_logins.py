"""Broken setups of the login: passwords, roles, connection limits and poolers."""

from __future__ import annotations

import psycopg2
from refusing import refusing
from setup_registry import SetupRegistry, url
from support import run, with_database, with_role

from tracker.database.url import clean

SETUPS = SetupRegistry()
causes = SETUPS.causes


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


@causes("few_slots")
def role_with_few_connections_left(setup):
    setup.skip_behind_pooler()
    role = setup.new_role("LOGIN CONNECTION LIMIT 3")
    run(setup.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    return url(setup.of_role(role))
