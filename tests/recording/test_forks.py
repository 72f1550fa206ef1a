"""A process may fork at any moment, from any thread: nothing hangs, and nothing that was recorded is lost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
from servers import Server
from support import ROOT, child_environment, eventually, python, rows, value

from tracker.database import embedded
from tracker.database.url import clean
from tracker.forks import ForkGuard

COUNT = "SELECT count(DISTINCT session_id)::int FROM token_usage"


def forks(short: int, long: int = 500) -> pytest.MarkDecorator:
    """How many forks: a few in the suite, all that are promised with `-m long`."""
    marks = [pytest.mark.long, pytest.mark.timeout(1800)]
    return pytest.mark.parametrize(
        "many", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=marks)]
    )


class Encrypted:
    """A server behind a PgBouncer that takes TLS connections only."""

    def __init__(self, server: Server, port: int) -> None:
        self.admin_url = server.admin_url
        self.tls_url = f"postgresql://app@127.0.0.1:{port}/postgres?sslmode=require"
        self.clear = server.clear


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    """PgBouncer with TLS in front of a server of the embedded kind, which has none itself."""
    pgbouncer = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    openssl = shutil.which("openssl")
    if pgbouncer is None or openssl is None:
        pytest.skip("PgBouncer and openssl are needed: apt-get install pgbouncer openssl.")
    directory = Path(tempfile.mkdtemp(prefix="tracker-tls-"))
    make = [openssl, "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
    made = [*make, "-out", str(directory / "certificate"), "-keyout", str(directory / "key")]
    subprocess.run(made, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Server() as server:
        target = clean(server.url)
        (directory / "users").write_text('"app" ""\n')
        (directory / "pgbouncer.ini").write_text(f"""\
[databases]
* = host={target.host} port={target.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 10
max_client_conn = 500
client_tls_sslmode = require
client_tls_key_file = {directory}/key
client_tls_cert_file = {directory}/certificate
""")
        account = embedded._account() if os.geteuid() == 0 else {}
        for path in (directory, *directory.iterdir()):
            if account:
                os.chown(path, account["user"], account["group"])
        with (directory / "log").open("w") as log:
            process = subprocess.Popen([pgbouncer, str(directory / "pgbouncer.ini")], stdout=log, stderr=log, **account)
        found = Encrypted(server, port)

        def answers() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            with suppress(psycopg2.OperationalError):
                return bool(value(found.tls_url, "SELECT 1") == 1)
            return False

        eventually(answers, 20)
        yield found
        process.terminate()
        process.wait(timeout=10)
    shutil.rmtree(directory)


WORK = """
import os, sys, threading, time
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker

def work(recorder, name, records=3):
    for number in range(records):
        outcome = recorder.record(a_call(session_id=f"{name}-{number}"), 5)
        assert outcome.status in {"recorded", "queued"}, outcome
"""
FORKS = {
    "first moments": WORK
    + """
mode, many = sys.argv[1], int(sys.argv[2])
def start():
    recorder = Tracker(mode=mode, log_records=False)
    threads = [threading.Thread(target=work, args=(recorder, f"p{os.getpid()}-{n}", 1)) for n in range(3)]
    for thread in threads: thread.start()
    return recorder, threads
for number in range(many):
    starter = os.fork()
    if starter == 0:
        recorder, threads = start()
        time.sleep(number % 10 / 500)
        child = os.fork()   # while the threads connect and import
        if child == 0:
            work(recorder, f"c{number}")
            recorder.close()
            os._exit(0)
        for thread in threads: thread.join()
        status = os.waitpid(child, 0)[1]
        recorder.close()
        os._exit(1 if status else 0)
    assert os.waitpid(starter, 0)[1] == 0, number
print("done")
""",
    "a thread": WORK
    + """
mode, many = sys.argv[1], int(sys.argv[2])
recorder = Tracker(mode=mode, log_records=False)
stop = threading.Event()
def busy(number):
    count = 0
    while not stop.wait(0.002):
        work(recorder, f"p{number}-{count}", 1)
        count += 1
        if count % 20 == 0: recorder._pool.close()   # connect again and again
def fork_from_thread():
    for number in range(many):
        child = os.fork()
        if child == 0:
            work(recorder, f"c{number}")
            recorder.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, number
busy_threads = [threading.Thread(target=busy, args=(n,), daemon=True) for n in range(3)]
for thread in busy_threads: thread.start()
forker = threading.Thread(target=fork_from_thread)
forker.start(); forker.join()
stop.set()
for thread in busy_threads: thread.join()
recorder.close()
print("done")
""",
    **{
        method: WORK
        + f"""
import multiprocessing
def child(number, mode):
    recorder = Tracker(mode=mode, log_records=False)
    work(recorder, f"c{{number}}")
    recorder.close()
if __name__ == "__main__":
    mode, many = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context("{method}")
    recorder = Tracker(mode=mode, log_records=False)
    for number in range(0, many, 4):
        processes = [context.Process(target=child, args=(number + n, mode)) for n in range(4)]
        for process in processes: process.start()
        work(recorder, f"p{{number}}", 1)
        for process in processes: process.join(60)
        assert {{process.exitcode for process in processes}} == {{0}}, number
    recorder.close()
    print("done")
"""
        for method in ("fork", "spawn", "forkserver")
    },
}


@pytest.mark.parametrize("mode", ["direct", "background"])
@pytest.mark.parametrize("how", list(FORKS))
@forks(12)
def test_forks_while_threads_connect_and_import_hang_nowhere(mode, how, many, encrypted, tmp_path):
    script = tmp_path / "forks.py"
    script.write_text(FORKS[how])
    env = {"DATABASE_URL": encrypted.tls_url, "TRACKER_OUTBOX": str(tmp_path / "outbox.db"), "TRACKER_POOL_SIZE": "4"}
    encrypted.clear()
    done = python(str(script), mode, str(many), env=env, timeout=40 + many * 3)
    assert done.stdout == "done\n", done.stderr[-2000:]
    drained = python("-m", "tracker", "outbox", "drain", env=env, timeout=90)
    assert drained.returncode == 0, drained.stderr
    found = "SELECT count(DISTINCT session_id)::int FROM token_usage WHERE session_id LIKE 'c%%'"
    assert value(encrypted.admin_url, found) == 3 * many
    gaps = "SELECT 1 FROM token_usage GROUP BY instance_id HAVING max(sequence) <> count(*)"
    assert rows(encrypted.admin_url, gaps) == []


APP = """
import os
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=os.environ["MODE"], log_records=False)
if os.environ.get("WARM"):
    recorder.record(a_call(session_id=f"warm-{os.getpid()}"))
def app(environ, start_response):
    outcome = recorder.record(a_call(session_id=environ["PATH_INFO"][1:]), 5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [outcome.status.encode()]
"""


@pytest.mark.parametrize("mode", ["direct", "background"])
@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no preload"])
@forks(10)
def test_gunicorns_workers_record_and_end(mode, preload, many, encrypted, tmp_path):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: pip install gunicorn.")
    (tmp_path / "recording_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {
        "DATABASE_URL": encrypted.tls_url,
        "TRACKER_OUTBOX": str(tmp_path / "outbox.db"),
        "TRACKER_POOL_SIZE": "4",
        "MODE": mode,
        "WARM": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    encrypted.clear()
    command = [sys.executable, "-m", "gunicorn", "recording_app:app", "-b", f"127.0.0.1:{port}", "-w", "3"]
    command += ["--max-requests", "4", "--chdir", str(tmp_path), *(["--preload"] if preload else [])]
    server = subprocess.Popen(command, env=child_environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    answered = 0
    try:
        end = time.monotonic() + 60 + many * 3
        while answered < many * 4 and time.monotonic() < end:  # each worker ends after four, and another is forked
            time.sleep(0.01)
            with suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/c{answered}", timeout=20) as response:
                    assert response.read() in {b"recorded", b"queued"}
                answered += 1
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
    assert answered == many * 4
    assert python("-m", "tracker", "outbox", "drain", env=env, timeout=90).returncode == 0
    found = "SELECT count(DISTINCT session_id)::int FROM token_usage WHERE session_id LIKE 'c%%'"
    assert value(encrypted.admin_url, found) == many * 4


# --- the fork guard ----------------------------------------------------------------------------------------------


def test_a_fork_waits_for_a_handshake_and_no_longer_than_two_seconds():
    guard = ForkGuard()
    entered, leave = threading.Event(), threading.Event()

    def handshake() -> None:
        with guard.handshake:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=handshake)
    thread.start()
    entered.wait(10)
    threading.Timer(0.3, leave.set).start()
    started = time.monotonic()
    guard.begin_fork()
    assert 0.2 < time.monotonic() - started < 1.5
    guard.end_fork()
    thread.join()

    entered.clear()
    leave.clear()
    thread = threading.Thread(target=handshake)
    thread.start()
    entered.wait(10)
    started = time.monotonic()
    guard.begin_fork()
    assert 1.9 < time.monotonic() - started < 3
    guard.reset_in_child()
    assert guard.forked_during_handshake
    leave.set()
    thread.join()


@pytest.mark.parametrize("when", ["name", "knock"])
def test_a_fork_does_not_wait_for_a_name_service_or_host(when, monkeypatch, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    with closing(listener):
        knocking = [socket.socket() for _ in range(3)]
        for knock in knocking:
            knock.setblocking(False)
            knock.connect_ex(listener.getsockname())
        code = (
            WORK
            + f"""
import socket
if {when == "name"}:
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda *args, **kwargs: time.sleep(3) or real(*args, **kwargs)
url = "postgresql://u@127.0.0.1:{listener.getsockname()[1]}/db"
recorder = Tracker(mode="direct", database_url=url, log_records=False)
thread = threading.Thread(target=work, args=(recorder, "p", 1)); thread.start()
time.sleep(0.5)
started = time.monotonic()
child = os.fork()
if child == 0: os._exit(0)
took = time.monotonic() - started
os.waitpid(child, 0)
print(took < 0.5)
os._exit(0)
"""
        )
        done = python("-c", code, env={"TRACKER_OUTBOX": str(tmp_path / "outbox.db")})
        for knock in knocking:
            knock.close()
    assert done.stdout == "True\n", done.stderr


def test_a_child_that_was_forked_during_a_handshake_keeps_its_records(encrypted, tmp_path):
    encrypted.clear()
    code = (
        WORK
        + """
from tracker.forks import fork_guard
recorder = Tracker(mode=sys.argv[1], log_records=False)
def handshake():
    with fork_guard.handshake:
        time.sleep(4)
threading.Thread(target=handshake, daemon=True).start()
time.sleep(0.1)
started = time.monotonic()
child = os.fork()
if child == 0:
    outcomes = {recorder.record(a_call(session_id=f"c{n}"), 2).status for n in range(3)}
    os.write(1, " ".join(outcomes).encode())
    os._exit(0)
assert time.monotonic() - started < 3
assert os.waitpid(child, 0)[1] == 0
recorder.flush(20)
recorder.close()
"""
    )
    for mode in ("direct", "background"):
        encrypted.clear()
        env = {"DATABASE_URL": encrypted.tls_url, "TRACKER_OUTBOX": str(tmp_path / f"{mode}.db")}
        done = python("-c", code, mode, env=env)
        assert done.stdout == "queued", done.stderr
        python("-m", "tracker", "outbox", "drain", env=env)
        assert value(encrypted.admin_url, COUNT) == 3
