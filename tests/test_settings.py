"""Environment variables and keyword arguments become settings, or an error with the allowed values."""

from __future__ import annotations

import logging

import pytest
from support import python

from tracker import SettingError, TokenUsage, Tracker
from tracker.platforms import PLATFORMS
from tracker.settings import PLATFORM, VARIABLES, load

MALFORMED = [
    ("TRACKER_POOL_SIZE", "0"),
    ("TRACKER_POOL_SIZE", "101"),
    ("TRACKER_POOL_SIZE", "2.5"),
    ("TRACKER_POOL_SIZE", "many"),
    ("TRACKER_POOL_SIZE", "9" * 5000),
    ("TRACKER_CONNECT_TIMEOUT_S", "0"),
    ("TRACKER_CONNECT_TIMEOUT_S", "15000"),
    ("TRACKER_CONNECT_TIMEOUT_S", "nan"),
    ("TRACKER_CONNECT_TIMEOUT_S", "inf"),
    ("TRACKER_IDLE_TIMEOUT_S", "-1"),
    ("TRACKER_IDLE_TIMEOUT_S", "5s"),
    ("TRACKER_MAX_LIFETIME_S", "0"),
    ("TRACKER_MAX_LIFETIME_S", "never"),
    ("TRACKER_MAX_RETRIES", "-1"),
    ("TRACKER_MAX_RETRIES", "exponential"),
    ("TRACKER_DEADLINE_S", "0"),
    ("TRACKER_DEADLINE_S", "1e9"),
    ("TRACKER_LOG_RECORDS", "maybe"),
    ("TRACKER_TIMEZONE", "Korea/Seoul"),
    ("TRACKER_TIMEZONE", "../../etc/passwd"),
    ("TRACKER_TIMEZONE", "+09:00"),
    ("TRACKER_TIMEZONE", "localtime"),
    ("TRACKER_TIMEZONE", "posix/Asia/Seoul"),
    ("TRACKER_PLATFORM", "Vercel"),
    ("TRACKER_PLATFORM", "laptop"),
]
BY_NAME = {variable.name: variable for variable in (*VARIABLES, PLATFORM)}


def test_serverless_has_few_and_short_lived_connections():
    settings = load({"TRACKER_PLATFORM": "vercel"})
    assert (settings.pool_size, settings.idle_timeout_s, settings.connect_timeout_s) == (5, 5, 15)
    assert (settings.max_lifetime_s, settings.deadline_s) == (600, 5)


@pytest.mark.parametrize("platform", ["server", "local", "heroku"])
def test_a_server_has_more_and_longer_lived_connections(platform):
    settings = load({"TRACKER_PLATFORM": platform})
    assert (settings.pool_size, settings.idle_timeout_s, settings.connect_timeout_s) == (15, 10, 30)
    assert (settings.max_lifetime_s, settings.deadline_s) == (None, 10)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TRACKER_POOL_SIZE", "7", 7),
        ("TRACKER_CONNECT_TIMEOUT_S", "2.5", 2.5),
        ("TRACKER_IDLE_TIMEOUT_S", "60", 60),
        ("TRACKER_MAX_LIFETIME_S", "None", None),
        ("TRACKER_MAX_LIFETIME_S", "90", 90),
        ("TRACKER_MAX_RETRIES", "0", 0),
        ("TRACKER_DEADLINE_S", " 3 ", 3),
        ("TRACKER_LOG_RECORDS", "off", False),
        ("TRACKER_LOG_RECORDS", "TRUE", True),
        ("TRACKER_TIMEZONE", "Asia/Seoul", "Asia/Seoul"),
        ("TRACKER_PROPERTIES", " team, feature,team,, a.b 'c' ", ("team", "feature", "a.b 'c'")),
        ("TRACKER_EMBEDDED_DIR", "/srv/tracker", "/srv/tracker"),
    ],
)
def test_a_variable_is_read(name, text, expected):
    assert getattr(load({name: text}), BY_NAME[name].field) == expected


def test_a_keyword_argument_wins_over_the_variable():
    assert load({"TRACKER_POOL_SIZE": "7"}, pool_size=2).pool_size == 2


def test_a_keyword_argument_of_none_means_unset():
    assert load({"TRACKER_POOL_SIZE": "7"}, pool_size=None).pool_size == 7


def test_an_empty_variable_is_unset():
    assert load({"TRACKER_POOL_SIZE": "  "}).pool_size == 15


def test_a_false_argument_is_not_unset():
    assert load({}, log_records=False).log_records is False


def test_a_platform_argument_changes_the_defaults():
    assert load({}, platform="aws_lambda").pool_size == 5


def test_database_url_wins_over_postgres_url():
    settings = load({"DATABASE_URL": "postgres://a", "POSTGRES_URL": "postgres://b"})
    assert (settings.database_url, settings.database_url_variable) == ("postgres://a", "DATABASE_URL")


def test_postgres_url_is_used_if_database_url_is_empty():
    settings = load({"DATABASE_URL": "", "POSTGRES_URL": "postgres://b"})
    assert (settings.database_url, settings.database_url_variable) == ("postgres://b", "POSTGRES_URL")


@pytest.mark.parametrize(("name", "text"), MALFORMED)
def test_the_error_of_a_variable_contains_its_name_its_value_and_the_allowed_values(name, text):
    with pytest.raises(SettingError) as caught:
        load({name: text})
    sentence = str(caught.value)
    assert name in sentence
    assert repr(text[:60])[:-1] in sentence
    assert BY_NAME[name].allowed in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(("name", "text"), MALFORMED)
def test_lenient_reading_uses_the_default_and_reports_the_problem(name, text):
    settings = load({name: text}, strict=False)
    default = load({})
    if name != "TRACKER_PLATFORM":
        assert getattr(settings, BY_NAME[name].field) == getattr(default, BY_NAME[name].field)
    assert settings.runtime == default.runtime
    assert [problem for problem in settings.problems if name in problem and "default" in problem]


def test_every_malformed_variable_is_reported_in_lenient_reading():
    settings = load({"TRACKER_POOL_SIZE": "x", "TRACKER_DEADLINE_S": "y"}, strict=False)
    assert len(settings.problems) == 2


def test_a_tracker_logs_a_malformed_variable_once_a_process(monkeypatch, caplog):
    monkeypatch.setenv("TRACKER_POOL_SIZE", "many")
    monkeypatch.setenv("DATABASE_URL", "postgres://u@127.0.0.1:1/db")
    with caplog.at_level(logging.WARNING, "tracker"):
        assert [Tracker().settings.pool_size for _ in range(3)] == [15, 15, 15]
    assert len([line for line in caplog.messages if "TRACKER_POOL_SIZE" in line]) == 1


def test_an_argument_that_cannot_be_right_raises_also_in_lenient_reading():
    with pytest.raises(SettingError, match="TRACKER_POOL_SIZE is '0'"):
        load({}, strict=False, pool_size=0)


def test_an_unknown_argument_names_the_settings_there_are():
    with pytest.raises(SettingError, match=r"no setting 'poolsize'.*pool_size"):
        load({}, poolsize=3)


@pytest.mark.parametrize("given", [5, b"postgresql://u:hunter2@h/d", 0, ["postgresql://u:hunter2@h/d"]])
def test_a_database_url_that_is_no_text_is_a_setting_error(given):
    with pytest.raises(SettingError, match=f"database_url is {type(given).__name__}") as caught:
        Tracker(database_url=given)
    assert "hunter2" not in str(caught.value)


def test_a_database_url_that_is_no_utf_8_is_an_outcome_and_no_exception(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://caf\udce9:hunter2@host/db")
    with Tracker(mode="direct") as recorder:
        outcome = recorder.record(TokenUsage(model="m"))
    assert outcome.status == "queued"
    assert "UTF-8" in outcome.error
    assert "hunter2" not in outcome.error


def test_utc_needs_no_data_about_zones():
    """Windows and slim images have none; only the package tzdata would bring it."""
    without = "import sys; sys.modules['tzdata'] = None; from tracker.settings import load, load_time_zone;"
    show = "print(load().timezone, load_time_zone('UTC'))"
    done = python("-c", without + show, env={"PYTHONTZPATH": "", "TRACKER_TIMEZONE": "UTC"})
    assert done.stdout.split() == ["UTC", "UTC"], done.stderr


def test_every_platform_may_be_set():
    assert [load({"TRACKER_PLATFORM": name}).runtime.platform for name in PLATFORMS] == list(PLATFORMS)


def test_no_text_of_the_settings_shows_the_database_url():
    settings = load({"DATABASE_URL": "postgres://u:hunter2@h/db"})
    assert "hunter2" not in repr(settings) + str(settings)


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        load({}).pool_size = 3
