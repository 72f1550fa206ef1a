"""DATABASE_URL in the forms that platforms and people write."""

from __future__ import annotations

from urllib.parse import quote

import psycopg2.extensions
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import ROOT

from tracker.database.tls import MODES
from tracker.database.url import clean
from tracker.errors import SettingError

PLAIN = "postgresql://user:hunter2@host:5432/db"


def params(url: str) -> dict[str, str]:
    return dict(clean(url).params)


# --- read as meant ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "POSTGRES", "postgresql+psycopg2", "postgresql+asyncpg", "postgres+psycopg"]
)
def test_every_usual_scheme_is_read(scheme):
    assert params(f"{scheme}://user:hunter2@host:5432/db") == params(PLAIN)


@pytest.mark.parametrize("wrapped", ['"{}"', "'{}'", " {}\n", "`{}`", "\t'{}' ", "\"'{}'\""])
def test_quotes_and_white_space_around_the_url_are_removed_and_noted(wrapped):
    url = clean(wrapped.format(PLAIN))
    assert dict(url.params) == params(PLAIN)
    assert url.notes


def test_a_plain_url_has_nothing_to_note():
    assert clean(PLAIN).notes == ()


@pytest.mark.parametrize(
    "key",
    [
        "pgbouncer=true",
        "connection_limit=1",
        "pool_timeout=20",
        "supa=base-pooler.x",
        "workaround=supabase-pooler.vercel",
        "statement_cache_mode=describe",
        "prepared_statements=false",
        "uselibpqcompat=true",
        "socket_timeout=5",
        "pool_size=5",
        "statement_timeout=5000",
    ],
)
def test_a_key_that_libpq_does_not_know_is_dropped_and_named(key):
    url = clean(f"{PLAIN}?{key}")
    assert dict(url.params) == params(PLAIN)
    assert any(key.partition("=")[0] in note for note in url.notes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sslmode", "require"),
        ("sslmode", "verify-full"),
        ("channel_binding", "prefer"),
        ("connect_timeout", "10"),
        ("target_session_attrs", "read-write"),
        ("load_balance_hosts", "random"),
        ("keepalives_idle", "30"),
    ],
)
def test_a_key_that_libpq_knows_is_kept(key, value):
    url = clean(f"{PLAIN}?{key}={value}")
    assert url.params[key] == value
    assert url.notes == ()


@pytest.mark.parametrize("query", ["sslmode=no-verify", "ssl=true", "ssl=1", "sslmode=true"])
def test_encryption_without_verification_is_libpqs_require(query):
    url = clean(f"{PLAIN}?{query}")
    assert url.params["sslmode"] == "require"
    assert url.notes


@pytest.mark.parametrize("word", ["disable", "false", "0"])
@pytest.mark.parametrize("key", ["ssl", "sslmode"])
def test_encryption_is_off_only_if_the_url_disables_it(key, word):
    assert clean(f"{PLAIN}?{key}={word}").params["sslmode"] == "disable"


@pytest.mark.parametrize("mode", MODES)
def test_ssl_with_a_mode_of_libpq_is_that_mode(mode):
    assert clean(f"{PLAIN}?ssl={mode}").params["sslmode"] == mode


TYPING_ERRORS = (ROOT / "tests" / "cases" / "databases" / "sslmode_typos.txt").read_text().split()


@pytest.mark.parametrize(
    "url",
    [
        *TYPING_ERRORS,
        *(
            f"{PLAIN}?{query}"
            for query in (
                "sslmode=yes-please", "sslmode=", "ssl=on", "ssl=True", "ssl=TRUE", "ssl=No-Verify",
                "sslmode=Verify-Full",
                "sslmode=%20require", "sslmode=require%0A", "sslmode=verify-full%00", "sslmode=require;", "ssl=2",
                "SSLMODE=require", "sslMode=require", "ssl_mode=require", "sslmode%20=require", "ssl-mode=verify-full",
                "tls=true", "sslidentity=id.p12", "sslaccept=Strict", "sslaccept=", "sslaccept=strict&sslmode=disable",
                "ssl=true&sslmode=disable", "sslnegotiation=Direct", "channel_binding=Require", "gssencmode=on",
                "ssl_min_protocol_version=1.2", "sslrootcert=%20system", "sslrootcert=a%00b", "sslinline=true",
                "trustServerCertificate=false",
            )
        ),
    ],
)  # fmt: skip
def test_a_setting_of_tls_that_cannot_be_read_refuses_the_url(url):
    with pytest.raises(SettingError) as caught:
        clean(url)
    assert "hunter2" not in str(caught.value)


def test_a_part_of_a_password_is_not_shown_as_a_mode():
    with pytest.raises(SettingError, match="masked") as caught:
        clean("postgresql://u:p@host/db?sslmode=hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslmode=prefer&sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslaccept=strict&sslcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ("sslaccept=accept_invalid_certs&sslmode=require", {"sslmode": "require"}),
        ("sslaccept=accept_invalid_certs&sslmode=verify-full", {"sslmode": "verify-full"}),
        ("ssl=true&sslmode=verify-full", {"sslmode": "verify-full"}),
        ("sslmode=prefer&ssl=true", {"sslmode": "require"}),
        # With libpq's default, prefer, a failure of any of these would mean no encryption.
        ("sslcert=/client.crt&sslkey=/client.key", {"sslmode": "require"}),
        ("sslcert=/ca.pem", {"sslmode": "require"}),
        ("sslrootcert=/ca.pem", {"sslmode": "verify-ca"}),
        ("channel_binding=require", {"sslmode": "require"}),
        ("sslnegotiation=direct", {"sslmode": "require"}),
    ],
)
def test_a_connection_is_never_weaker_than_its_url(query, expected):
    url = clean(f"{PLAIN}?{query}")
    assert expected.items() <= url.params.items()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("verify-full", None), ("verify-ca", "verify-ca"), ("require", "verify-ca"), ("disable", "verify-ca")],
)
def test_an_implied_sslmode_does_not_override_a_stricter_pgsslmode(monkeypatch, mode, expected):
    monkeypatch.setenv("PGSSLMODE", mode)
    assert clean(f"{PLAIN}?sslrootcert=/ca.pem").params.get("sslmode") == expected


@given(st.text(max_size=12), st.sampled_from(["ssl", "sslmode", "sslaccept"]))
def test_no_value_of_a_tls_parameter_disables_encryption_by_accident(text, key):
    try:
        mode = clean(f"{PLAIN}?{key}={quote(text, safe='')}").params.get("sslmode")
    except SettingError:
        return
    weak = {None, "disable", "allow", "prefer"}
    assert mode not in weak or text in {"disable", "false", "0", "allow", "prefer", "accept_invalid_certs"}


@pytest.mark.parametrize("value", ["0.5", "", "soon", "-1", "%C2%B2"])
def test_a_connect_timeout_that_is_no_whole_number_is_dropped(value):
    url = clean(f"{PLAIN}?connect_timeout={value}")
    assert "connect_timeout" not in url.params
    assert "connect_timeout" in url.notes[0]


@pytest.mark.parametrize(
    ("query", "schema"),
    [
        ("schema=tracking", "tracking"),
        ("schema=public", "public"),
        ("schema=", None),
        ("currentSchema=tracking", "tracking"),
        ("options=-csearch_path%3Dtracking", "tracking"),
        ("options=-c%20search_path%3Dtracking%2Cpublic", "tracking"),
        ("options=--search_path%3Dtracking", "tracking"),
        ("options=-c%20search_path%3Dpublic", None),
        ("options=-c%20statement_timeout%3D5s", None),
        ("pgbouncer=true&schema=tracking&connection_limit=1", "tracking"),
    ],
)
def test_the_tables_schema_is_taken_from_where_people_write_it(query, schema):
    url = clean(f"{PLAIN}?{query}")
    assert url.schema == schema
    assert dict(url.params) == params(PLAIN)


def test_options_are_dropped_since_transaction_poolers_refuse_them():
    assert any("options" in note for note in clean(f"{PLAIN}?options=-c%20search_path%3Dx").notes)


def test_several_hosts_are_kept():
    assert params("postgresql://u@a:5432,b:6432/db?target_session_attrs=primary")["host"] == "a,b"


def test_an_ipv6_host_is_read():
    assert params("postgresql://u:p@[2001:db8::1]:6543/db")["host"] == "2001:db8::1"


def test_a_socket_directory_is_a_host():
    assert clean("postgresql://postgres@/db?host=%2Ftmp%2Fpg").host == "/tmp/pg"


def test_a_plus_in_the_query_is_a_plus_as_libpq_reads_it():
    assert params("postgresql://user@host/db?password=a+b")["password"] == "a+b"


def test_supabases_pooler_user_contains_a_dot():
    url = clean("postgresql://postgres.abcdefgh:pw@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true")
    assert url.user == "postgres.abcdefgh"


def test_without_a_database_libpq_takes_the_users_name():
    assert clean("postgres://ann@host").dbname == "ann"


@pytest.mark.parametrize(
    "password", ["p@ss", "pa/ss", "pa?ss", "pa#ss", "pa:ss", "p@s/sw#d:", "pass word", "@", "p?/x"]
)
def test_a_password_with_unquoted_special_characters_is_taken_as_meant_and_noted(password):
    url = clean(f"postgresql://user:{password}@host:5432/db?sslmode=require")
    assert url.password == password
    assert (url.host, url.params["sslmode"]) == ("host", "require")
    assert url.notes


def test_what_is_percent_encoded_already_is_not_encoded_again():
    assert clean("postgresql://user:100%25%40x@host/db").password == "100%@x"


# --- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "hunter2",
        "host=localhost password=hunter2 dbname=x",
        "mysql://user:hunter2@host/db",
        "https://user:hunter2@project.supabase.co",
        "prisma+postgres://accelerate.prisma-data.net/?api_key=hunter2",
        "postgresql:/user:hunter2@host/db",
        "//user:hunter2@host/db",
        "postgresql://user:hunter2%@host/db",
        "postgresql://user:hunter2%zz@host/db",
        "postgresql://user:hunter2%00@host/db",
        "postgresql://user:hunter2@[::1/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hunter2@host:99999/db",
        "postgresql://user:hunter2@host:0/db",
        "postgresql://user:hunter2@host/db?port=abc",
        "postgresql://user:hunter2/db",  # the host forgotten
        "postgresql://user:hunter2",
        "postgresql://user:hunter2\udcff@host/db",
        "${DATABASE_URL}",
    ],
)
def test_what_is_no_postgresql_url_names_the_variable_and_never_the_password(url):
    with pytest.raises(SettingError) as caught:
        clean(url, "POSTGRES_URL")
    sentence = str(caught.value)
    assert sentence.startswith("POSTGRES_URL")
    assert "hunter2" not in sentence
    assert "hunter2" not in repr(caught.value)
    assert "\n" not in sentence


@pytest.mark.parametrize("query", ["application_name=%00", "user=\udcff"])
def test_a_parameter_that_no_driver_can_send_is_a_setting_error_or_dropped(query):
    try:
        url = clean(f"postgresql://u:hunter2@host/db?{query}")
    except SettingError as error:
        assert "hunter2" not in str(error)
    else:
        psycopg2.extensions.make_dsn(**url.params).encode()
        assert "\x00" not in "".join(url.params.values())


def test_a_stray_percent_sign_is_explained():
    with pytest.raises(SettingError, match="%25"):
        clean("postgresql://user:100%@host/db")


def test_the_rest_of_a_password_with_a_question_mark_is_not_taken_for_a_keys_name():
    assert "hunter2" not in " ".join(clean("postgresql://u:p@a?hunter2@host/db").notes)


# --- an @ after a ? --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "password", "host"),
    [
        ("postgresql://u:hun@ter2?word@127.0.0.1/db", "hun@ter2?word", "127.0.0.1"),
        ("postgresql://u:hun@ter2/w?or#d@host/db", "hun@ter2/w?or#d", "host"),
        ("postgresql://u:hun?ter2@host/db?application_name=x&sslmode=require", "hun?ter2", "host"),
        ("postgresql://127.0.0.1:1?user=u&password=p@hunter2", "p@hunter2", "127.0.0.1"),
        ("postgresql://127.0.0.1:1?user=u&password=p@hunter2&pgbouncer=true", "p@hunter2", "127.0.0.1"),
        ("postgresql://u:hunter2@host/db?application_name=a@b", "hunter2", "host"),
    ],
)
def test_a_password_with_both_an_at_and_a_question_mark_is_taken_as_meant(url, password, host):
    assert (clean(url).password, clean(url).host) == (password, host)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@hunter2?x=1@host/db",
        "postgresql://u:p@hunter2?x=1@host/db?y=1&sslmode=require",
        "postgresql://127.0.0.1:1?user=u&password=a&b@hunter2",
        "postgresql://u:1?x=hunter2@host/db",
    ],
)
def test_an_ambiguous_password_is_not_displayed(url):
    with pytest.raises(SettingError, match="%3F") as caught:
        clean(url)
    assert "hunter2" not in str(caught.value)


_odd = st.sampled_from(["@", "/", "?", "#", ":", "&", "=", "hunter2", "x", "sslmode"])


@given(st.lists(_odd, min_size=1, max_size=12).map("".join))
@example("x@hunter2?sslmode=")
def test_no_part_of_a_password_becomes_the_host(password):
    try:
        url = clean(f"postgresql://u:{password}@host:5432/db?sslmode=require")
    except SettingError as error:
        assert "hunter2" not in str(error)
    else:
        assert (url.password, url.host, url.dbname) == (password, "host", "db")


@pytest.mark.parametrize(
    "url", ["postgresql://caf\udce9:hunter2@host/db", "postgresql://u:hunter2@host/\udce9", "\udce9"]
)
def test_a_url_that_is_no_utf_8_is_a_setting_error(url):
    with pytest.raises(SettingError, match="UTF-8") as caught:
        clean(url)
    assert "hunter2" not in str(caught.value)


# --- never shown --------------------------------------------------------------------------------------------------


def test_no_text_of_a_url_shows_the_password():
    url = clean(f"{PLAIN}?password=hunter2&pgbouncer=1")
    assert "hunter2" not in " ".join([repr(url), str(url), url.label, *url.notes])


def test_the_label_is_host_and_database():
    assert clean(PLAIN).label == "host/db"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example("%41")
@example("a+b c")
@example("'\\")
@example("\n\t ")
@example("@:/?#[]!$&'()*,;=%")
def test_any_percent_encoded_password_survives(password):
    url = clean(f"postgresql://user:{quote(password, safe='')}@host:6543/db?sslmode=require")
    assert url.password == password
    assert (url.host, url.port, url.user, url.dbname) == ("host", "6543", "user", "db")


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(user=_texts, password=_texts, dbname=_texts, schema=_texts)
@example(user="a@b", password="+ %", dbname="x/y?z#", schema='we"ird')
def test_the_whole_url_written_out_reads_back_the_same(user, password, dbname, schema):
    parts = [quote(part, safe="") for part in (user, password, dbname, schema)]
    url = clean("postgresql://{}:{}@host:6543/{}?schema={}&sslmode=require&host=%2Ftmp%2Fp+q".format(*parts))
    assert (url.user, url.password, url.dbname) == (user, password, dbname)
    again = clean(url.with_password())
    assert dict(again.params) == dict(url.params)
    assert again.schema == url.schema
    assert again.notes == ()
