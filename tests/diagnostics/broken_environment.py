"""Broken setups of this machine: environment variables, the outbox file and the clock."""

from __future__ import annotations

from setup_registry import SetupRegistry, url
from support import with_parameters

SETUPS = SetupRegistry()
causes = SETUPS.causes


# --- the variables ------------------------------------------------------------------------------------------------


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


# --- the clock and the outbox -------------------------------------------------------------------------------------


@causes("clock_off")
def clock_that_is_wrong(setup):
    setup.clock_offset_s, setup.is_repeatable = 600, False  # only this report uses the shifted clock
    return url(setup.url)


@causes("outbox_unwritable")
def outbox_that_cannot_be_written(setup):
    (setup.directory / "file").touch()
    return url(setup.url, TRACKER_OUTBOX=str(setup.directory / "file" / "outbox.db"))


@causes("outbox_damaged")
def outbox_that_is_damaged(setup):
    (setup.directory / "outbox.db").write_bytes(b"not a database" * 1000)
    return url(setup.url, TRACKER_OUTBOX=str(setup.directory / "outbox.db"))
