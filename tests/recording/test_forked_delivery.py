"""After a fork both processes deliver their own records, and those of a process that ended are delivered by another."""

from __future__ import annotations

from support import count, python, rows, value

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
