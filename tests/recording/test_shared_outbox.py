"""Trackers and processes share an outbox: one delivers what another left, but never to another database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import Proxy
from recording_support import ENDS, LEAVES
from support import a_call, count, eventually, python, rows

from tracker import Tracker
from tracker.recording.outbox.store import Outbox

# --- other processes and Trackers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "platform"), [("background", "server"), ("direct", "server"), ("direct", "vercel"), ("direct", "local")]
)
def test_the_next_tracker_delivers_what_an_earlier_one_left(
    new_tracker, proxy, outbox_path, database_url, mode, platform
):
    proxy.swallow = True
    left = python("-c", LEAVES, env={"DATABASE_URL": proxy.url})
    assert left.returncode == 0, left.stderr
    assert count(database_url) == 0
    proxy.swallow = False
    recorder = new_tracker(mode=mode, platform=platform, database_url=proxy.url, log_records=False)
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 31)
    question = "SELECT delivery, count(*)::int, max(sequence) FROM token_usage WHERE instance_id = %s GROUP BY 1"
    assert rows(database_url, question, (left.stdout.strip(),)) == [("outbox", 30, 30)]


def test_the_next_tracker_needs_no_record_of_its_own(background, proxy, outbox_path, database_url):
    proxy.swallow = True
    python("-c", LEAVES, env={"DATABASE_URL": proxy.url})
    proxy.swallow = False
    background(database_url=proxy.url)
    eventually(lambda: count(database_url) == 30)


def test_two_processes_share_an_outbox(database_url, outbox_path):
    code = ENDS.replace("range(50)", "range(400)")
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda _: python("-c", code, env={"DATABASE_URL": database_url}), range(2)):
            assert (done.returncode, done.stderr) == (0, "")
    question = "SELECT count(*)::int, max(sequence) FROM token_usage GROUP BY instance_id"
    assert rows(database_url, question) == [(400, 400), (400, 400)]
    assert Outbox(outbox_path).empty()


def test_two_trackers_of_one_process_share_an_outbox(background, database_url, outbox_path):
    recorders = [background() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda recorder: recorder.record_many([a_call() for _ in range(100)]), recorders))
    for recorder in recorders:
        assert recorder.flush(20) == 0
    assert count(database_url) == 300


# --- without an address -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["background", "direct"])
def test_what_was_recorded_without_an_address_is_adopted_by_the_next_tracker_that_has_one(new_tracker, proxy, mode):
    homeless = Tracker(mode=mode, log_records=False)
    assert {homeless.record(a_call()).status for _ in range(3)} == {"queued"}
    instance = str(homeless.instance_id)
    assert homeless.outbox_depth().waiting == 3
    homeless.close()
    assert homeless._queue.outbox.path.name == "unassigned.db"
    recorder = new_tracker(mode=mode, database_url=proxy.url, log_records=False)
    recorder.record(a_call())
    question = "SELECT delivery, count(*)::int, max(sequence) FROM token_usage WHERE instance_id = %s GROUP BY 1"
    eventually(lambda: rows(proxy.url, question, (instance,)) == [("outbox", 3, 3)])


@pytest.mark.parametrize("mode", ["background", "direct"])
def test_the_embedded_database_adopts_nothing(server_url, new_tracker, database_url, mode, request):
    if request.config.getoption("--database-url"):
        pytest.skip("The server of --database-url is not the embedded one.")
    homeless = Tracker(mode="background", log_records=False)
    homeless.record(a_call())
    homeless.close()
    recorder = new_tracker(mode=mode, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    assert count(database_url) == 1
    assert homeless.outbox_depth().waiting == 1


def test_a_socket_in_an_inaccessible_directory_is_no_error(tmp_path, as_ordinary_user, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    with as_ordinary_user():
        recorder = Tracker(mode="direct", max_retries=0, database_url=f"postgresql://u@/db?host={closed}/sockets")
        assert recorder.record(a_call(), 1).status in {"queued", "failed"}
    recorder.close()


def test_databases_keep_their_records_apart(new_tracker, database_url, new_database, template):
    with Proxy(database_url) as one, Proxy(new_database(template)) as other:
        one.swallow = True
        recorder = new_tracker(mode="background", database_url=one.url, deadline_s=0.5)
        recorder.record(a_call())
        second = new_tracker(mode="background", database_url=other.url)
        second.record(a_call())
        assert second.flush(10) == 0
        assert recorder.outbox_depth().waiting == 1
        assert count(other.url) == 1
        recorder.close()
