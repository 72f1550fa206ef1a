"""Alerts about recording failures: in the log, at every alert URL, and in the database when it is available."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from support import a_call, eventually, rows, run, with_role

from tracker import Tracker, settings
from tracker.recording.alerts import channels
from tracker.recording.alerts.failure_alerts import QUIET_S, Alerts

NOWHERE = "postgresql://u:hunter2@127.0.0.1:1/db"
KEYS = [
    "type",
    "environment",
    "error",
    "reason",
    "record_id",
    "attempts",
    "elapsed_ms",
    "outbox_depth",
    "held_back",
    "platform",
    "region",
    "deployment",
    "raised_at",
]


class Receiver:
    """An HTTP server that accepts alerts, and misbehaves on request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        self.location: str | None = None
        self.release = threading.Event()
        self.release.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), json.loads(body)))
                receiver.release.wait(30)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def alerts(self) -> list[Any]:
        return [body for _, _, body in self.requests]

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def new_receiver() -> Iterator[Callable[[], Receiver]]:
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def receiver(new_receiver: Callable[[], Receiver]) -> Receiver:
    return new_receiver()


@pytest.fixture
def failing(new_tracker: Callable[..., Tracker]) -> Callable[..., Tracker]:
    """Makes Trackers whose database can't be reached."""
    return lambda **given: new_tracker(
        **{"database_url": NOWHERE, "max_retries": 0, "log_records": False, "deadline_s": 1, **given}
    )


def logged(caplog) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in caplog.messages if line.startswith("{")]
    return [line for line in lines if line.get("type") == "token_tracking_failure"]


def alerts_of(urls: tuple[str, ...] = (), clock: Callable[[], float] = time.monotonic) -> Alerts:
    return Alerts(urls, settings.load({}).runtime, lambda _: None, clock)


# --- what one says ------------------------------------------------------------------------------------------------


def test_a_failure_is_one_json_line_in_the_log_with_all_that_is_known(failing, caplog, monkeypatch):
    for name, text in {
        "VERCEL": "1",
        "VERCEL_ENV": "preview",
        "VERCEL_REGION": "icn1",
        "VERCEL_GIT_COMMIT_SHA": "a" * 40,
    }.items():
        monkeypatch.setenv(name, text)
    usage = a_call()
    outcome = failing(max_retries=1).record(usage)
    assert outcome.status == "queued"
    (alert,) = logged(caplog)
    assert list(alert) == KEYS
    assert (alert["environment"], alert["platform"], alert["region"], alert["deployment"]) == (
        "preview",
        "vercel",
        "icn1",
        "aaaaaaa",
    )
    assert (alert["record_id"], alert["reason"], alert["attempts"]) == (str(usage.id), "refused", 2)
    assert (alert["outbox_depth"], alert["held_back"]) == (1, 0)
    assert alert["elapsed_ms"] > 0
    assert alert["error"] == outcome.error
    assert {record.levelname for record in caplog.records if "tracking_failure" in record.getMessage()} == {"ERROR"}


def test_a_record_that_was_not_tried_counts_no_attempt(failing, caplog):
    recorder = failing(platform="vercel")
    recorder.record(a_call())
    recorder._breaker.error.code = "other"  # a reason of its own, so that it isn't held back
    recorder.record(a_call())
    assert [alert["attempts"] for alert in logged(caplog)] == [1, 0]


def test_a_missing_address_is_an_alert_too(new_tracker, caplog):
    recorder = Tracker(mode="direct")
    recorder.record(a_call())
    (alert,) = logged(caplog)
    assert (alert["reason"], alert["attempts"]) == ("database_url_missing", 0)
    recorder.close()


def test_no_alert_holds_a_secret_or_the_drivers_text(failing, password_url, clerk, receiver, caplog):
    url = with_role(password_url, clerk.name, "hunter2-wrong")
    alert_url = f"http://hook:hunter2-hook@{receiver.place}/T0KEN?key=hunter2-key"
    for address in (NOWHERE, url):
        recorder = failing(database_url=address, alert_urls=alert_url)
        recorder.record(a_call())
        recorder.close()
    eventually(lambda: len(receiver.requests) == 2)
    sent = json.dumps(receiver.alerts)
    for text in (sent, caplog.text, repr(recorder.settings)):
        assert "hunter2" not in text
        assert "T0KEN" not in text
        assert "FATAL" not in text
        assert "psycopg2" not in text
    assert "refused the password" in sent


# --- how often ----------------------------------------------------------------------------------------------------


def test_an_outage_is_one_alert_a_minute_and_reason_with_the_number_held_back(caplog):
    now = 1000.0
    alerts = alerts_of(clock=lambda: now)
    for _ in range(5):
        alerts.raise_alert("refused", "Nothing answers.")
    alerts.raise_alert("other", "Something else.")
    now += QUIET_S
    alerts.raise_alert("refused", "Nothing answers.")
    now += QUIET_S
    alerts.raise_alert("refused", "Nothing answers.")
    assert [(alert["reason"], alert["held_back"]) for alert in logged(caplog)] == [
        ("refused", 0),
        ("other", 0),
        ("refused", 4),
        ("refused", 0),
    ]


def test_a_tracker_that_fails_often_raises_one(failing, caplog, receiver):
    recorder = failing(alert_urls=f"http://{receiver.place}/")
    for _ in range(20):
        recorder.record(a_call())
    recorder.close()
    assert [alert["reason"] for alert in logged(caplog)] == ["refused"]
    assert len(receiver.requests) == 1


# --- where it goes ------------------------------------------------------------------------------------------------


def test_a_plain_url_gets_a_json_post(failing, receiver, caplog):
    recorder = failing(alert_urls=f"http://user:p%40ss@{receiver.place}/hook/1?channel=ops")
    recorder.record(a_call())
    ((path, headers, body),) = eventually(lambda: receiver.requests)
    assert path == "/hook/1?channel=ops"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert body == logged(caplog)[0]


def test_an_alert_is_sent_to_every_url_even_if_others_fail(failing, new_receiver):
    first, bad, last = new_receiver(), new_receiver(), new_receiver()
    bad.status = 500
    urls = f"http://{first.place}/ http://{bad.place}/ http://127.0.0.1:1/ strange://x http://{last.place}/"
    failing(alert_urls=urls).record(a_call())
    eventually(lambda: first.requests and bad.requests and last.requests)


def test_an_error_status_is_logged_without_the_url(receiver, caplog):
    receiver.status = 500
    channels.send(f"http://{receiver.place}/T0KEN", {"error": "x"})
    assert "answered 500" in caplog.text
    assert "T0KEN" not in caplog.text
    assert receiver.place not in caplog.text


def test_a_redirect_is_not_followed(new_receiver, caplog):
    receiver, elsewhere = new_receiver(), new_receiver()
    receiver.status, receiver.location = 307, f"http://{elsewhere.place}/"
    channels.send(f"http://{receiver.place}/", {"error": "x"})
    assert len(receiver.requests) == 1
    assert elsewhere.requests == []
    assert "answered 307" in caplog.text


def test_nothing_is_sent_in_the_clear_to_another_machine(caplog):
    channels.send("http://192.0.2.1/T0KEN", {"error": "x"})
    assert "https" in caplog.text
    assert "T0KEN" not in caplog.text


@pytest.mark.filterwarnings("default")  # what apprise uses is its own affair
def test_apprise_sends_what_is_no_plain_url(receiver):
    pytest.importorskip("apprise")
    alert = {"type": "token_tracking_failure", "environment": "production", "error": "Nothing answers.", "held_back": 3}
    channels.send(f"json://{receiver.place}/hook", alert)
    (body,) = receiver.alerts
    assert body["title"] == "token_tracking_failure (production)"
    assert "Nothing answers." in body["message"]
    assert "held_back: 3" in body["message"]


@pytest.mark.filterwarnings("default")  # what apprise uses is its own affair
def test_an_apprise_failure_is_logged_without_the_url(receiver, caplog):
    pytest.importorskip("apprise")
    receiver.status = 500
    alert = {"type": "t", "environment": "e", "error": "x"}
    channels.send(f"json://user:hunter2@{receiver.place}/T0KEN", alert)
    channels.send("slack://nonsense-T0KEN", alert)
    ours = " ".join(record.getMessage() for record in caplog.records if record.name == "tracker")
    assert "kind json://" in ours
    assert "kind slack://" in ours
    assert "hunter2" not in ours + caplog.text
    assert "T0KEN" not in ours


SECRET = "A1b2C3d4E5f6A1b2C3d4E5f6"
SERVICES = {
    "Telegram": f"tgram://123456789:{SECRET}xyzabcdefg/12315544/",
    "Discord": f"discord://4174216298/{SECRET}{SECRET}/",
    "Slack": f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}/%23general",
    "Twilio": f"twilio://AC735c307c62944b5a:{SECRET}12345678@15551233456/15551233457/",
    "unreadable": f"slack://{SECRET}",
}


@pytest.mark.filterwarnings("default")  # apprise's own dependencies warn
@pytest.mark.parametrize("service", SERVICES)
def test_no_log_line_of_a_library_has_the_secret_of_an_alert_url(service, caplog, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # nothing leaves this machine
    caplog.set_level(logging.DEBUG)
    channels.send(SERVICES[service], {"type": "t", "environment": "e", "error": "x"})
    assert SECRET not in caplog.text
    assert "(masked)" in caplog.text
    logging.getLogger("apprise").error("the host's own send")
    assert "the host's own send" in caplog.text


@pytest.mark.filterwarnings("default")  # apprise's own dependencies warn
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("<!channel> now", "<\u200b!channel> now"),
        ("<@U123>", "<\u200b@\u200bU123>"),
        ("@everyone @here", "@\u200beveryone @\u200bhere"),
        ("ann@example.com <b>&amp;", "ann@example.com <b>&amp;"),
    ],
)
def test_an_alert_is_plain_text_without_mentions(receiver, text, sent):
    alert = {"type": "t", "environment": "e", "error": text}
    channels.send(f"json://{receiver.place}/hook", alert)
    channels.send(f"http://{receiver.place}/", alert)
    notified, posted = receiver.alerts
    assert sent in notified["message"]
    assert posted["error"] == text


# --- what it costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_channel_that_hangs_slows_no_record(failing, receiver, mode):
    receiver.release.clear()
    recorder = failing(mode=mode, alert_urls=f"http://{receiver.place}/", deadline_s=1)
    started = time.monotonic()
    assert {recorder.record(a_call()).status for _ in range(10)} == {"queued"}
    assert time.monotonic() - started < 2
    eventually(lambda: receiver.requests)
    started = time.monotonic()
    recorder.close()
    assert time.monotonic() - started < 8
    receiver.release.set()


def test_close_waits_for_an_alert_that_is_being_sent(failing, receiver):
    recorder = failing(alert_urls=f"http://{receiver.place}/")
    recorder.record(a_call())
    recorder.close()
    assert len(receiver.requests) == 1


# --- in the table -------------------------------------------------------------------------------------------------

TABLE = "SELECT reason, record_id, attempts, outbox_depth, held_back, environment, platform FROM token_tracker_alerts"


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_it_is_in_the_table_once_the_database_answers(new_tracker, proxy, database_url, mode):
    recorder = new_tracker(mode=mode, database_url=proxy.url, deadline_s=0.4, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.swallow = True
    recorder.record(a_call())
    alert_path = eventually(lambda: [kind for _, kind, _ in recorder._queue.outbox.notes(10) if kind == "alert"])
    assert alert_path == ["alert"]
    assert rows(database_url, TABLE) == []
    proxy.swallow = False
    eventually(lambda: rows(database_url, TABLE))
    ((reason, record_id, _, depth, held_back, environment, platform),) = rows(database_url, TABLE)
    assert reason in {"deadline", "timeout"}
    assert (record_id is not None) == (mode == "direct")
    assert (depth, held_back, environment, platform) == (1, 0, "development", "local")


def test_a_role_that_may_not_write_the_table_records_all_the_same(new_tracker, limited_url, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    recorder = new_tracker(mode="background", database_url=limited_url, log_records=False)
    recorder.record_many([a_call(), a_call(model="gpt"), a_call()])
    assert recorder.flush(10) == 0
    recorder.close()
    assert rows(database_url, "SELECT count(*)::int FROM token_usage") == [(2,)]
    assert recorder._queue.outbox.notes(10) == []


def test_an_alert_whose_response_was_lost_is_stored_once(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url, platform="vercel", log_records=False)
    recorder.record(a_call())
    recorder._get_queue().notices.alert("test", "An alert.")
    proxy.cut_after()
    with pytest.raises(Exception, match="lost"):
        recorder._queue._run_round(time.monotonic() + 5)
    recorder._queue._run_round(time.monotonic() + 5)
    assert rows(database_url, "SELECT reason FROM token_tracker_alerts") == [("test",)]
