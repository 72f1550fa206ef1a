"""In background mode `record` makes a call durable and returns; it reaches the database once, by somebody."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from faults import Proxy
from support import a_call, count, eventually, locked, python, rows, run, value

from tracker import Tracker
from tracker.recording.outbox.store import Outbox, QueuedRecord

DELIVERIES = "SELECT delivery, count(*)::int FROM token_usage GROUP BY delivery ORDER BY delivery"


@pytest.fixture
def background(new_tracker: Callable[..., Tracker]) -> Callable[..., Tracker]:
    """Makes Trackers in background mode."""
    return lambda **settings: new_tracker(**{"mode": "background", "log_records": False, **settings})


@pytest.fixture
def outbox_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of every Tracker in this test and in the processes it starts."""
    path = tmp_path / "outbox.db"
    monkeypatch.setenv("TRACKER_OUTBOX", str(path))
    return path


# --- the way of a record ------------------------------------------------------------------------------------------


def test_a_record_is_queued_and_then_delivered_by_the_thread(background, database_url):
    recorder = background()
    usage = a_call(metadata={"note": 'ü"\\'}, cost="0.00065")
    outcome = recorder.record(usage)
    assert (outcome.status, outcome.id, outcome.error) == ("queued", usage.id, None)
    eventually(lambda: count(database_url) == 1)
    question = "SELECT id, delivery, retry_count, connection_ms >= 0, metadata, instance_id, sequence FROM token_usage"
    assert rows(database_url, question) == [
        (str(usage.id), "background", 0, True, {"note": 'ü"\\'}, str(recorder.instance_id), 1)
    ]


def test_a_record_is_the_same_row_in_both_modes(background, new_tracker, database_url):
    fields = {
        "user_id": "u_ü",
        "session_id": "s",
        "provider": "google",
        "operation": "tag_generation",
        "cost": "0.0000001",
        "cache_read_input_tokens": 3,
        "reasoning_output_tokens": 4,
        "processing_time": 12,
        "success": False,
        "error_message": "it's\nbroken",
        "is_test": True,
        "metadata": {"deep": [1, {"a": None}]},
    }
    first = a_call(**fields)
    background().record(first)
    new_tracker().record(a_call(**fields, created_at=first.created_at))
    eventually(lambda: count(database_url) == 2)
    told_apart = "id, recorded_at, connection_ms, delivery, instance_id"
    fields_of = f"SELECT to_jsonb(t) - string_to_array('{told_apart}', ', ') FROM token_usage AS t"
    one, other = rows(database_url, fields_of)
    assert one == other


def test_the_plainest_record_is_the_same_row_in_both_modes(background, new_tracker, database_url):
    first = a_call()
    background().record(first)
    new_tracker().record(a_call(created_at=first.created_at))
    eventually(lambda: count(database_url) == 2)
    question = (
        "SELECT to_jsonb(t) - '{id,recorded_at,connection_ms,delivery,instance_id}'::text[] FROM token_usage AS t"
    )
    one, other = rows(database_url, question)
    assert one == other


def test_a_batch_is_one_send(background, proxy, outbox_path, database_url):
    recorder = background(database_url=proxy.url)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    with Outbox(outbox_path).hold_drain_lock() as mine:  # so that nobody else delivers yet
        assert mine
        recorder.record_many([a_call() for _ in range(300)])
        proxy.forget()
    assert recorder.flush(10) == 0
    assert count(database_url) == 301
    # The worker also reads the budgets, and reports to the ledger what waits.
    inserts = [text for text in proxy.statements if "INTO" in text and ".token_usage" in text]
    assert len(inserts) == 1, [text[:200] for text in proxy.statements]


def test_records_within_a_short_time_are_delivered_in_one_batch(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    for _ in range(200):
        recorder.record(a_call())
    eventually(lambda: count(database_url) == 200)
    assert len(proxy.statements) < 20


def test_a_row_contains_its_retry_count_and_delay(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.cut_before()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 2)
    question = "SELECT retry_count > 0, delivery, recorded_at >= created_at FROM token_usage ORDER BY sequence"
    assert rows(database_url, question) == [(False, "background", True), (True, "background", True)]


def test_an_answer_that_was_lost_doubles_nothing(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.cut_after()
    recorder.record(a_call())
    assert eventually(lambda: recorder.flush(10) == 0)
    assert rows(database_url, "SELECT sequence FROM token_usage ORDER BY 1") == [(1,), (2,)]
    assert rows(database_url, "SELECT kind FROM token_tracker_ledger WHERE kind = 'duplicate'") == []


def test_several_calls_keep_their_order(background, database_url):
    usages = [a_call() for _ in range(20)]
    outcomes = background().record_many(usages)
    assert [outcome.id for outcome in outcomes] == [usage.id for usage in usages]
    eventually(lambda: count(database_url) == 20)
    found = rows(database_url, "SELECT id FROM token_usage ORDER BY sequence")
    assert [id_ for (id_,) in found] == [str(usage.id) for usage in usages]


def test_from_a_coroutine(background, database_url):
    recorder = background()

    async def main() -> list:
        return await asyncio.gather(*(recorder.arecord(a_call()) for _ in range(40)))

    assert {outcome.status for outcome in asyncio.run(main())} == {"queued"}
    assert recorder.flush(10) == 0
    assert count(database_url) == 40


def test_a_table_without_time_zones_gets_the_same_time(background, empty_database_url):
    from support import connect

    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, model text, input_tokens integer, output_tokens integer,"
        " total_tokens integer, created_at timestamp)",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    usage = a_call()
    background(database_url=empty_database_url).record(usage)
    eventually(lambda: count(empty_database_url) == 1)
    question = "SELECT created_at AT TIME ZONE 'Asia/Seoul' = %s FROM token_usage"
    assert value(empty_database_url, question, (usage.created_at,))


# --- flush, close, the end ----------------------------------------------------------------------------------------


def test_flush_delivers_queued_records_and_returns_the_remaining_count(background, proxy, database_url):
    recorder = background(database_url=proxy.url, deadline_s=1)
    recorder.record_many([a_call() for _ in range(10)])
    assert recorder.flush(10) == 0
    assert count(database_url) == 10
    proxy.swallow = True
    recorder.record_many([a_call() for _ in range(3)])
    started = time.monotonic()
    assert recorder.flush(0.5) == 3
    assert time.monotonic() - started < 1.5
    assert recorder.outbox_depth().waiting == 3


def test_close_delivers_and_tells_the_ledger_the_last_number(background, database_url):
    recorder = background()
    recorder.record_many([a_call() for _ in range(7)])
    recorder.close()
    assert count(database_url) == 7
    assert rows(database_url, "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger") == [
        ("closed", 1, 7)
    ]
    assert recorder.pool_stats().idle == 0


def test_a_closed_tracker_opens_again(background, database_url):
    recorder = background()
    for _ in range(3):
        recorder.record(a_call())
        recorder.close()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 4)


def test_a_record_during_a_close_is_delivered(background, database_url):
    recorder = background()
    with ThreadPoolExecutor(2) as pool:
        recording = [pool.submit(lambda: [recorder.record(a_call()) for _ in range(300)]) for _ in range(2)]
        while not all(future.done() for future in recording):
            recorder.close()
    eventually(lambda: count(database_url) == 600)


def test_close_does_not_wait_for_a_database_that_is_down(background):
    recorder = background(database_url="postgresql://u@127.0.0.1:1/db")
    recorder.record(a_call())
    eventually(lambda: recorder._breaker.error)
    started = time.monotonic()
    recorder.close()
    assert time.monotonic() - started < 5
    assert recorder.outbox_depth().waiting == 1


ENDS = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
recorder.record_many([a_call() for _ in range(50)])
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "1 / 0", "recorder = None"])
def test_a_process_that_just_ends_delivers_first(database_url, end):
    done = python("-c", ENDS + end, env={"DATABASE_URL": database_url})
    assert ("Traceback" in done.stderr) == (end == "1 / 0"), done.stderr
    assert rows(database_url, DELIVERIES) == [("background", 50)]
    assert rows(database_url, "SELECT kind, last_sequence FROM token_tracker_ledger") == [("closed", 50)]


def test_a_process_that_records_just_before_its_end_loses_nothing(database_url, outbox_path):
    code = ENDS.replace("import os, sys", "import atexit, os, sys\natexit.register(lambda: recorder.record(a_call()))")
    done = python("-c", code, env={"DATABASE_URL": database_url})
    assert done.stderr == ""
    assert count(database_url) + Outbox(outbox_path).depth().waiting == 51


def test_a_signal_handler_may_close_the_tracker_at_any_time(database_url, outbox_path):
    code = """
import os, signal, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False)
closed = 0
def close(*_):
    global closed
    recorder.close()
    closed += 1
    signal.setitimer(signal.ITIMER_REAL, 0.003)
signal.signal(signal.SIGALRM, close)
signal.setitimer(signal.ITIMER_REAL, 0.001)
recorded = 0
while closed < 30:
    recorder.record(a_call())
    recorded += 1
signal.setitimer(signal.ITIMER_REAL, 0)
recorder.close()
print(recorded)
"""
    for mode in ("background", "direct"):
        run(database_url, "DELETE FROM token_usage")
        done = python("-c", code, mode, env={"DATABASE_URL": database_url}, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        assert count(database_url) == int(done.stdout)


def test_a_tracker_without_references_still_delivers(background, database_url):
    def work() -> None:
        recorder = Tracker(mode="background", database_url=database_url, log_records=False)
        recorder.record_many([a_call() for _ in range(5)])

    work()
    gc.collect()
    eventually(lambda: count(database_url) == 5)


def test_no_signal_handler_is_installed(background):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    background().record(a_call())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


# --- trouble ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0, 3, 9])
def test_a_poisoned_record_becomes_a_dead_letter_and_blocks_no_other(background, database_url, where):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    recorder = background()
    calls = [a_call() for _ in range(10)]
    calls[where] = poisoned = a_call(model="gpt")
    recorder.record_many(calls)
    eventually(lambda: count(database_url) == 9)
    assert recorder.flush(10) == 0
    assert recorder.outbox_depth()[:2] == (0, 1)
    ((record, reason),) = recorder._queue.outbox.dead_letters()
    assert record.id == str(poisoned.id)
    assert "known" in reason
    eventually(
        lambda: (
            rows(database_url, "SELECT kind, first_sequence FROM token_tracker_ledger") == [("set_aside", where + 1)]
        )
    )


def test_a_record_that_a_trigger_refuses_becomes_a_dead_letter(background, database_url):
    run(
        database_url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.model = ''gpt'' THEN RAISE EXCEPTION ''hunter2''; END IF; RETURN NEW; END'",
        "CREATE TRIGGER refuse BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    recorder = background()
    recorder.record_many([a_call(), a_call(model="gpt"), a_call()])
    eventually(lambda: count(database_url) == 2)
    eventually(lambda: recorder.outbox_depth()[:2] == (0, 1))


def test_a_record_with_invalid_json_becomes_a_dead_letter(background, database_url, outbox_path):
    with closing(Outbox(outbox_path)) as outbox:
        outbox.append(QueuedRecord("0", "nobody", 1, '{"id": "broken'))
        outbox.append(QueuedRecord("1", "nobody", 2, '{"id": "no uuid", "sequence": 2}'))
    recorder = background()
    recorder.record_many([a_call() for _ in range(3)])
    assert recorder.flush(10) == 0
    assert count(database_url) == 3
    assert recorder.outbox_depth()[:2] == (0, 2)


def test_a_locked_table_blocks_no_caller(background, database_url):
    recorder = background()
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    with locked(database_url):
        started = time.monotonic()
        assert {o.status for o in recorder.record_many([a_call() for _ in range(100)])} == {"queued"}
        assert time.monotonic() - started < 5
        assert count_waiting(recorder) == 100
    eventually(lambda: count(database_url) == 101)


def count_waiting(recorder: Tracker) -> int:
    return recorder.outbox_depth().waiting


@pytest.mark.parametrize("place", ["a directory", "a full outbox"])
def test_records_are_written_directly_if_the_outbox_fails(background, database_url, tmp_path, caplog, place):
    path = tmp_path / "outbox.db"
    if place == "a directory":
        path.mkdir()
    else:
        with closing(Outbox(path, max_mb=1)) as outbox, pytest.raises(Exception, match="full"):
            for number in range(3000):
                outbox.append(QueuedRecord(str(number), "nobody", number, "x" * 800))
    usages = [a_call(metadata={"text": "x" * 10_000}) for _ in range(5)]
    with nullcontext() if path.is_dir() else Outbox(path).hold_drain_lock():  # or it would have room in a moment
        recorder = background(outbox=path, outbox_max_mb=1)
        assert {recorder.record(usage).status for usage in usages} == {"recorded"}
    found = rows(database_url, "SELECT id, sequence FROM token_usage WHERE model LIKE 'gemini%' ORDER BY 2")
    assert found == [(str(usage.id), number) for number, usage in enumerate(usages, start=1)]
    lines = [json.loads(line) for line in caplog.messages if "token_usage.unqueued" in line]
    assert [line["record"]["id"] for line in lines] == [str(usage.id) for usage in usages]
    assert [line["record"]["sequence"] for line in lines] == [1, 2, 3, 4, 5]
    assert any("token_tracking_failure" in line for line in caplog.messages)


@pytest.mark.parametrize("mode", ["background", "direct"])
def test_an_outbox_that_stays_locked_costs_no_more_than_the_deadline(new_tracker, proxy, outbox_path, mode):
    recorder = new_tracker(mode=mode, database_url=proxy.url, deadline_s=1, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    with closing(sqlite3.connect(outbox_path, isolation_level=None)) as other, ThreadPoolExecutor(8) as pool:
        other.execute("BEGIN IMMEDIATE")
        proxy.swallow = True

        def work(_: int) -> tuple[str, float]:
            started = time.monotonic()
            return recorder.record(a_call()).status, time.monotonic() - started

        for status, took in pool.map(work, range(8)):
            assert status == "queued"
            assert took <= 1 * 1.2 + 0.1, took
        proxy.swallow = False
    assert recorder.flush(20) == 0


def test_a_host_without_threads_left_loses_nothing(database_url, outbox_path):
    code = """
import sys, threading
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False, alert_urls="http://127.0.0.1:1/")
threading.stack_size(1 << 46)  # more than there is: no thread can be started
print({recorder.record(a_call()).status for _ in range(3)})  # without a watchdog nothing is sent
recorder._queue and recorder._queue.notices.alert("test", "An alert.")
threading.stack_size(0)
print({recorder.record(a_call()).status for _ in range(3)})
"""
    for mode, status in (("direct", "recorded"), ("background", "queued")):
        run(database_url, "DELETE FROM token_usage")
        done = python("-c", code, mode, env={"DATABASE_URL": database_url})
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout == f"{{'queued'}}\n{{'{status}'}}\n"
        assert count(database_url) == 6


# --- forks and other processes ------------------------------------------------------------------------------------

FORK = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
recorder.record_many([a_call() for _ in range(20)])
child = os.fork()
recorder.record_many([a_call() for _ in range(20)])
if child == 0:
    left = recorder.flush(20)
    recorder.close()
    os._exit(left)
_, status = os.waitpid(child, 0)
recorder.close()
sys.exit(status)
"""


def test_after_a_fork_each_side_delivers_with_a_thread_and_numbers_of_its_own(database_url):
    done = python("-c", FORK, env={"DATABASE_URL": database_url})
    assert (done.returncode, done.stderr) == (0, "")
    question = "SELECT count(*)::int, min(sequence), max(sequence) FROM token_usage GROUP BY instance_id ORDER BY 1"
    assert rows(database_url, question) == [(20, 1, 20), (40, 1, 40)]
    assert rows(database_url, "SELECT last_sequence FROM token_tracker_ledger ORDER BY 1") == [(20,), (40,)]


def test_a_fork_while_threads_record_hangs_nowhere(database_url):
    code = """
import os, sys, threading
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
stop = threading.Event()
def work():
    while not stop.wait(0.001):
        recorder.record(a_call(session_id="parent"))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        for _ in range(5): recorder.record(a_call(session_id="child"))
        recorder.close()
        os._exit(0)
    children.append(child)
statuses = {os.waitpid(child, 0)[1] for child in children}
stop.set()
for thread in threads: thread.join()
recorder.close()
print(statuses)
"""
    done = python("-c", code, env={"DATABASE_URL": database_url}, timeout=90)
    # Python 3.11's own logging lock can complain after a fork, and a child may log that its parent delivers.
    assert (done.stdout, "tracker/recording" in done.stderr) == ("{0}\n", False), done.stderr
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE session_id = 'child'") == 100
    gaps = "SELECT 1 FROM token_usage GROUP BY instance_id HAVING max(sequence) <> count(*)"
    assert rows(database_url, gaps) == []


def test_a_killed_child_whose_parent_ended_first_loses_nothing(proxy, database_url, outbox_path, new_tracker):
    code = """
import os, signal, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
recorder.record(a_call())
ready, closed = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    recorder.record(a_call())
    os.write(ready[1], b"x")
    os.read(closed[0], 1)
    for _ in range(20):
        assert recorder.record(a_call()).status == "queued"
    os.kill(os.getpid(), signal.SIGKILL)
os.read(ready[0], 1)
recorder._queue.outbox.close()
os.write(closed[1], b"x")
os.waitpid(child, 0)
os._exit(0)
"""
    proxy.swallow = True
    done = python("-c", code, env={"DATABASE_URL": proxy.url})
    assert (done.returncode, done.stderr) == (0, "")
    proxy.swallow = False
    assert new_tracker(database_url=proxy.url).flush(10) == 0
    assert count(database_url) == 22


LEAVES = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
for _ in range(30):
    assert recorder.record(a_call()).status == "queued"
print(recorder.instance_id, flush=True)
os._exit(0)
"""


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


def test_a_quiet_trackers_thread_ends_and_begins_again(background, database_url, monkeypatch):
    monkeypatch.setattr("tracker.recording.outbox.worker._LINGER_S", 0.05)
    recorder = background()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 1)
    eventually(lambda: not recorder._queue._worker._thread.is_alive())
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 2)


def test_bytes_that_are_no_utf_8_in_the_environment_lose_no_record(background, monkeypatch, database_url):
    monkeypatch.setenv("NODE_ENV", "caf\udce9")
    assert background().record(a_call()).status == "queued"
    eventually(lambda: count(database_url) == 1)


def test_a_child_that_ends_without_a_word_leaves_its_records_to_others(database_url, outbox_path):
    code = """
import multiprocessing, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
recorder.record(a_call())
def work(number):
    recorder.record_many([a_call() for _ in range(10)])
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(work, range(6), chunksize=1)
"""
    done = python("-c", code, env={"DATABASE_URL": database_url})
    assert (done.returncode, done.stderr) == (0, "")
    assert count(database_url) == 61
