"""token-tracker doctor: output, comparison, exit codes."""

from __future__ import annotations

import json

import pytest
from asgi_support import get
from support import python

from tracker.cli import main
from tracker.diagnostics.debug_api import DebugApp


def doctor(*arguments: str, **env: str):
    return python("-m", "tracker", "doctor", *arguments, env=env)


def test_a_healthy_database_exits_0_and_json_is_one_document(database_url):
    done = doctor("--json", DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["healthy"] is True
    assert done.stderr == ""


def test_an_unhealthy_database_exits_1_with_the_remedy(empty_database_url):
    done = doctor(DATABASE_URL=empty_database_url)
    assert done.returncode == 1
    assert "The table token_usage isn't there." in done.stdout
    assert "token-tracker migrate" in done.stdout


@pytest.mark.parametrize("env", [{"TRACKER_PLATFORM": "vercel"}, {"DATABASE_URL": "mysql://u:hunter2@h/d"}])
def test_invalid_variables_exit_2_and_still_print_the_report(env):
    done = doctor("--json", **env)
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr
    assert json.loads(done.stdout)["recommendations"][0]["severity"] == "error"
    assert "hunter2" not in done.stdout + done.stderr


def test_an_invalid_setting_exits_2(database_url):
    done = doctor(DATABASE_URL=database_url, TRACKER_POOL_SIZE="many")
    assert done.returncode == 2
    assert "TRACKER_POOL_SIZE" in done.stderr


def test_without_a_variable_the_embedded_database_is_probed_and_the_missing_variable_is_first(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tracker-doctor-") as directory:
        done = doctor("--json", TRACKER_EMBEDDED_DIR=directory)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recommendations"][0]["code"] == "database_url_missing"
    assert "embedded" in done.stderr


def test_a_pulled_file_is_compared_with_this_machine(database_url, tmp_path):
    file = tmp_path / ".env.production"
    file.write_text('VERCEL="1"\nVERCEL_ENV="production"\nDATABASE_URL="\'postgresql://u:hunter2@127.0.0.1:1/app\'"\n')
    done = doctor("--env-file", str(file), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert "database.connectionStatus: connected | failed: refused" in done.stdout
    assert "quotes" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_missing_file_exits_2(database_url):
    done = doctor("--env-file", "/nowhere/.env", DATABASE_URL=database_url)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_deployed_report_is_compared(monkeypatch, database_url, capsys, serve_app):
    monkeypatch.setenv("TRACKER_DEBUG_TOKEN", "t0ken")
    deployed = DebugApp(
        lambda: __import__("tracker.diagnostics.report").diagnostics.report.build_report({"VERCEL": "1"})
    )
    url = serve_app(lambda headers: get(deployed, headers))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["doctor", "--against", url]) == 1
    output = capsys.readouterr().out
    assert "environment.DATABASE_URL_SET: yes | no" in output
    assert "set it there and deploy again" in output
    assert main(["doctor", "--json", "--against", url]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["lines"][0]["weight"] == "error"


def test_a_report_that_cannot_be_fetched_is_an_error_of_one_line(database_url):
    done = doctor("--against", "http://127.0.0.1:1", DATABASE_URL=database_url)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.fixture
def serve_app():
    """Serves the responses of an ASGI app on a real port."""
    import http.server
    import threading

    running = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                response = answer({"authorization": self.headers.get("Authorization", "")})
                self.send_response(response.status)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()
