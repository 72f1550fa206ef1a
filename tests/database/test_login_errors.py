"""Each login error has its cause, in any language; the text of an unknown one is redacted."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from debian_server import NEEDED, DebianServer, programs
from refusing import refusing
from support import ROOT, a_call, connect, python, run, with_parameters, with_role

from tracker import Tracker
from tracker.database import connect as driver
from tracker.database.failures import explain_connect
from tracker.database.login_errors import match
from tracker.database.url import clean
from tracker.errors import DatabaseError, SetupError, TransientError
from tracker.messages.login_texts import TEXTS

CASES = ROOT / "tests" / "cases" / "databases"
with (CASES / "login_refusals.tsv").open(encoding="utf-8") as file:
    REFUSALS = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

CODES = {
    "no connection left (pooler)": "too_many_connections",
    "no connection left: session pooler, use the transaction pooler": "session_pool_full",
    "user or project unknown to the pooler, or wrong region": "tenant_unknown",
    "user must be written postgres.PROJECT": "tenant_unnamed",
    "pool exhausted": "pool_exhausted",
    "provider quota used up": "quota_exceeded",
    "provider endpoint disabled": "endpoint_disabled",
    "database missing (pooler)": "database_missing",
    "pooler has no credentials for this role": "pooler_credentials",
    "password wrong (server speaks Korean)": "password_wrong",
    "database missing (server speaks Korean)": "database_missing",
    "no connection left (server speaks Korean)": "too_many_connections",
}


def refusal(url: str) -> DatabaseError:
    """The error of a connection that must fail."""
    with pytest.raises(DatabaseError) as caught:
        connect(url).close()
    return caught.value


@pytest.fixture(autouse=True)
def nothing_asked_before(monkeypatch):
    monkeypatch.setattr(driver, "_verbose_texts", {})


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case["text"][:40])
def test_a_reported_refusal_is_explained_and_retried_only_where_it_passes(case):
    with refusing(case["sqlstate"], case["text"]) as server:
        error = refusal(server.url)
        assert server.logins == 1, "a known message needs no second login"
    assert error.code == CODES[case["cause"]]
    assert type(error) is (TransientError if case["lasts"] == "passes" else SetupError)
    assert error.server_words is None


@pytest.mark.parametrize(
    ("sqlstate", "message", "code", "kind"),
    [
        ("08P01", "(EAUTHPROTOCOL) protocol violation during authentication", "parameter_refused", SetupError),
        ("XX000", "(EADDRNOTALLOWED) address not in tenant allow_list: {10, 0, 0, 1}", "not_allowed", SetupError),
        ("XX000", "(EBANNED) tenant is banned: abuse", "provider_banned", SetupError),
        ("XX000", "(ECIRCUITBREAKER) too many authentication errors", "provider_throttled", TransientError),
        ("XX000", "(EMAXPOOLSREACHED) max pools count reached", "too_many_connections", TransientError),
        ("08006", "Failed to connect to database: {:error, :econnrefused}", "pooler_behind", TransientError),
        ("XX000", "(ESSLREQUIRED) SSL connection is required for user: app", "tls_required", SetupError),
        ("XX000", "Control plane request failed: endpoint cannot be found", "endpoint_missing", SetupError),
        ("XX000", "Control plane request failed: endpoint is disabled", "endpoint_disabled", SetupError),
        ("XX000", "Control plane request failed", "provider_down", TransientError),
        ("XX000", "Couldn't connect to compute node", "provider_starting", TransientError),
        ("XX000", "Your project has exceeded the data transfer quota.", "quota_exceeded", SetupError),
        ("XX000", "You have exceeded the limit of concurrently active endpoints.", "quota_exceeded", SetupError),
        ("28000", "The IAM authentication failed for the role app. Check the IAM token.", "iam_refused", SetupError),
        ("28000", "This RDS Proxy requires TLS connections", "tls_required", SetupError),
        ("28000", "RDS supports only IAM or MD5 authentication.", "authentication_unsupported", SetupError),
        ("08P01", "server login has been failing, cached error: connect timeout (server_login_retry)", "pooler_behind",
         TransientError),
        ("08P01", 'server login has been failing, cached error: database "shop" does not exist (server_login_retry)',
         "database_missing", SetupError),
        ("08P01", "client connections exceeded (max_db_client_connections)", "too_many_connections", TransientError),
        ("58000", 'No pool configured for database: "shop", user: "app"', "database_missing", SetupError),
        ("3D000", "route for 'shop.app' is not found", "database_missing", SetupError),
        ("28000", 'password for user "app" and database "shop" is wrong, or the database does not exist',
         "password_wrong", SetupError),
        ("55000", 'database "shop" is not currently accepting connections', "database_closed", TransientError),
        # Only the SQLSTATE is known: specific ones decide alone.
        ("28P01", "parola yanlış", "password_wrong", SetupError),
        ("3D000", "böyle bir veritabanı yok", "database_missing", SetupError),
        ("53300", "çok fazla istemci", "too_many_connections", TransientError),
        ("57P03", "veritabanı sistemi başlatılıyor", "starting", TransientError),
    ],
)  # fmt: skip
def test_a_message_of_a_pooler_or_provider_is_explained(sqlstate, message, code, kind):
    with refusing(sqlstate, message) as server:
        error = refusal(server.url)
    assert (error.code, type(error)) == (code, kind)


@pytest.mark.parametrize(
    ("sqlstate", "routine", "code"),
    [("28000", "ClientAuthentication", "not_allowed"), ("28000", "InitializeSessionUserId", "login_refused"),
     ("42501", "CheckMyDatabase", "login_refused")],
)  # fmt: skip
def test_postgresqls_own_function_decides_for_a_language_without_a_catalog(sqlstate, routine, code):
    with refusing(sqlstate, "bağlantı reddedildi", "ÖLÜMCÜL", routine) as server:
        assert refusal(server.url).code == code
        assert server.logins == 2


@pytest.mark.parametrize("encoding", ["euc-kr", "cp949"])
def test_a_refusal_in_another_encoding_is_explained_by_its_sqlstate(encoding):
    with refusing("28P01", '사용자 "app"의 password 인증을 실패했습니다'.encode(encoding)) as server:
        assert refusal(server.url).code == "password_wrong"


# --- an unknown refusal ---------------------------------------------------------------------------------------------


def test_an_unknown_refusal_is_shown_in_the_servers_own_words():
    with refusing("XX000", "the flux capacitor of app is empty") as server:
        error = refusal(server.url)
    assert error.code == "connect_refused"
    assert error.server_words == "FATAL: the flux capacitor of (masked) is empty"
    assert error.server_words in str(error)
    assert error.server_words not in error.text_for_alerts


def test_an_unknown_refusal_is_one_short_line_without_secrets_and_names():
    said = (
        "odd\x1b[31m\x07 thing\r\nfor app at 127.0.0.1 with hunter2-secret, ::1 and sk-proj-abcdefgh12345,"
        " postgres://u:p4ss@db.example.com/x password=p4ss " + "word " * 100
    )
    with refusing("XX000", said) as server:
        words = refusal(server.url).server_words
    assert len(words) <= 200
    assert words.isprintable()
    for secret in ("hunter2", "127.0.0.1", "::1", "sk-proj", "p4ss", "for app "):
        assert secret not in words


@pytest.mark.parametrize(
    ("sqlstate", "kind"), [("28000", SetupError), ("53200", TransientError), ("XX000", TransientError)]
)
def test_the_sqlstate_decides_whether_an_unknown_refusal_is_temporary(sqlstate, kind):
    with refusing(sqlstate, "no such luck") as server:
        assert type(refusal(server.url)) is kind


def test_the_sqlstate_of_an_unknown_refusal_is_requested_once():
    with (
        refusing("XX000", "the flux capacitor is empty") as server,
        Tracker(database_url=server.url, mode="direct", max_retries=0, alert_urls=[], deadline_s=2) as recorder,
    ):
        outcomes = [recorder.record(a_call()) for _ in range(4)]
        assert server.logins <= 5 + 1
    assert all(outcome.status == "queued" for outcome in outcomes)
    assert "flux capacitor" in outcomes[0].error


def test_the_request_for_the_sqlstate_respects_the_deadline():
    with refusing("XX000", "the flux capacitor is empty") as server:
        started = time.monotonic()
        with pytest.raises(DatabaseError) as caught:
            driver.connect(clean(server.url), timeout_s=0.1, application_name="tests")
        assert time.monotonic() - started < 1
        assert caught.value.code in {"connect_refused", "timeout"}


def test_a_servers_words_are_in_the_outcome_and_never_in_an_alert(caplog):
    with (
        refusing("28000", "the flux capacitor is empty") as server,
        Tracker(database_url=server.url, mode="direct", max_retries=0, deadline_s=2) as recorder,
    ):
        outcome = recorder.record(a_call())
    assert "flux capacitor" in outcome.error
    alerts = [line for line in caplog.messages if "token_tracking_failure" in line]
    assert alerts
    assert not any("flux" in line for line in alerts)


# --- several attempts in one message --------------------------------------------------------------------------------


def attempts(*messages: str, host: str = "db.example.com", address: str = "10.0.0.1") -> str:
    return "".join(f'connection to server at "{host}" ({address}), port 5432 failed: {text}\n' for text in messages)


HBA = 'no pg_hba.conf entry for host "1.2.3.4", user "u", database "app", '


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (attempts(f"FATAL:  {HBA}SSL encryption", f"FATAL:  {HBA}no encryption"), "not_allowed"),
        (attempts('FATAL:  PAM authentication failed for user "u"', f"FATAL:  {HBA}no encryption"), "pam_refused"),
        (attempts("FATAL:  The password that was provided for the role u is wrong",
                  "FATAL:  This RDS Proxy requires TLS connections"), "password_wrong"),
        # The server has no TLS: the attempt without it is the only one.
        (attempts(f"FATAL:  {HBA}no encryption"), "not_allowed"),
        (attempts("Network is unreachable\n\tIs the server running?", address="2600:1f18::1")
         + attempts("FATAL:  Your project has exceeded the compute time quota."), "quota_exceeded"),
        (attempts("Cannot assign requested address\n\tIs the server running?", address="2600:1f18::1"), "ipv6_only"),
        (attempts("Network is unreachable\n\tIs the server running?", address="2600:1f18::1"), "ipv6_only"),
        (attempts("Cannot assign requested address\n\tIs the server running?"), "unreachable"),
        (attempts("Network is unreachable", address="2600::1") + attempts("Connection refused"), "refused"),
        (attempts("server closed the connection unexpectedly\n\tThis probably means"), "hung_up"),
        (attempts('private key file "/x/client.key" has group or world access; file must have permissions'),
         "client_certificate"),
        (attempts('certificate present, but not private key file "/x/client.key"'), "client_certificate"),
        (attempts('could not open certificate file "/x/client.crt": Permission denied',
                  f"FATAL:  {HBA}no encryption"), "client_certificate"),
        (attempts("SSL error: tlsv13 alert certificate required"), "client_certificate_required"),
        (attempts('root certificate file "/x/root.crt" does not exist'), "root_certificate"),
    ],
)  # fmt: skip
def test_the_first_real_reason_of_several_attempts_wins(text, code):
    assert explain_connect(text, clean("postgresql://u:hunter2@db.example.com/app")).code == code


def test_without_tls_a_demand_for_encryption_is_the_reason():
    text = attempts(f"FATAL:  {HBA}no encryption")
    assert explain_connect(text, clean("postgresql://u@db.example.com/app?sslmode=disable")).code == "tls_required"


def test_every_entry_has_a_cause_and_a_source():
    lines = (Path(match.__file__).with_name("patterns.tsv")).read_text(encoding="utf-8").splitlines()
    for line in filter(lambda line: not line.startswith("#"), lines):
        code, pattern, source = line.split("\t")
        assert code in TEXTS or code == "address_unavailable"
        assert pattern
        assert source


def test_a_database_that_answers_loads_no_list_of_refusals(database_url):
    program = (
        "import sys, os; from tracker import Tracker, TokenUsage\n"
        "with Tracker(mode='direct') as recorder:\n"
        "    print(recorder.record(TokenUsage(model='m', input_tokens=1, output_tokens=1)).status,"
        " 'tracker.database.login_errors.match' in sys.modules, 'ctypes' in sys.modules)"
    )
    assert python("-c", program, env={"DATABASE_URL": database_url}).stdout.split()[:2] == ["recorded", "False"]


# --- PostgreSQL itself ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def debian() -> None:
    if programs() is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(NEEDED)


def test_a_korean_servers_refusals_are_explained(debian):
    hba = "local all all trust\nhost all app 127.0.0.1/32 scram-sha-256\nhost all clerk 127.0.0.1/32 trust\n"
    with DebianServer(language="ko_KR", hba=hba) as server:
        run(server.admin_url, "CREATE ROLE app LOGIN PASSWORD 'right'", "CREATE ROLE clerk NOLOGIN")
        found = {
            name: refusal(url).code
            for name, url in {
                "password": server.url("app:wrong"),
                "database": server.url("app:right", "nowhere"),
                "login": server.url("clerk"),
                "address": server.url("nobody"),
            }.items()
        }
        run(server.admin_url, "ALTER ROLE app CONNECTION LIMIT 0")
        assert refusal(server.url("app:right")).code == "too_many_connections"
    assert found == {
        "password": "password_wrong",
        "database": "database_missing",
        "login": "login_refused",
        "address": "not_allowed",
    }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("certificate")
    key, made = home / "server.key", home / "server.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "30",
         "-keyout", str(key), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, made


HBA_FILE = (CASES / "two_refusals_in_one_message.conf").read_text()


@pytest.mark.parametrize(
    ("more", "code"),
    [("", "not_allowed"), ("hostssl all other 127.0.0.1/32 pam pamservice=nosuch\n", "pam_refused")],
)
def test_a_role_refused_over_tls_gets_no_remedy_about_tls(debian, certificate, more, code):
    with DebianServer(hba=HBA_FILE + "\n" + more, tls=certificate) as server:
        run(server.admin_url, "CREATE ROLE app LOGIN PASSWORD 'right'", "CREATE ROLE other LOGIN PASSWORD 'right'")
        run(server.admin_url, "CREATE DATABASE app")
        assert refusal(server.url("other:right", "app")).code == code
        assert refusal(server.url("app:right", "app", "?sslmode=disable")).code == "tls_required"
        with closing(connect(server.url("app:right", "app"))) as connection:
            assert driver.execute(connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[1] == [
                (True,)
            ]


@pytest.mark.parametrize("broken", ["no key", "open key", "no file", "rubbish"])
def test_a_client_certificate_that_cannot_be_read_is_named(debian, certificate, broken, monkeypatch):
    hba = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n"
    home = Path(tempfile.mkdtemp(prefix="tracker-client-"))
    key, made = home / "client.key", home / "client.crt"
    if broken != "no file":
        shutil.copy(certificate[1], made)
    if broken in {"open key", "rubbish"}:
        shutil.copy(certificate[0], key)
        key.chmod(0o644 if broken == "open key" else 0o600)
    if broken == "rubbish":
        made.write_text("not a certificate")
    with DebianServer(hba=hba, tls=certificate) as server:
        run(server.admin_url, "CREATE ROLE app LOGIN")
        url = with_parameters(server.url("app"), f"sslmode=require&sslcert={made}&sslkey={key}")
        error = refusal(url)
    shutil.rmtree(home)
    assert error.code == "client_certificate"


def test_a_wrong_password_on_a_server_of_another_role(debian):
    """The embedded server trusts everybody; here a role must give its password, as at a provider."""
    hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    with DebianServer(hba=hba) as server:
        run(server.admin_url, "CREATE ROLE app LOGIN PASSWORD 'right'")
        assert refusal(with_role(server.url("app"), "app", "wrong")).code == "password_wrong"
        assert refusal(server.url("app")).code == "password_missing"


def test_a_long_hostile_message_is_matched_quickly():
    said = "호스트, 사용자, 데이터베이스, pg_hba " * 20_000
    started = time.monotonic()
    error = explain_connect(f'connection to server at "h", port 1 failed: FATAL:  {said}', clean("postgresql://u@h/d"))
    assert time.monotonic() - started < 2
    assert len(error.server_words or "") <= 200


def test_a_mode_of_tls_in_the_environment_that_cannot_be_read_makes_no_connection(proxy, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("PGSSLMODE", "REQUIRE")
        error = refusal(proxy.url)
    assert (error.code, type(error)) == ("parameter_invalid", SetupError)
    assert proxy.connections == 0
