"""The recorder in docs/typescript.md, run by Node against a real Postgres."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from support import ROOT, rows, run, value

from tracker.importing.log_replay import LogRecords

POSTGRES_JS = "3.4.9"
ESBUILD = "0.25.12"


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Path:
    """A directory with the recorder as JavaScript, and its driver."""
    if not (shutil.which("node") and shutil.which("npm")):
        reason = "Node and npm are not installed: apt-get install nodejs npm."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    directory = tmp_path_factory.mktemp("node")
    source = re.search(r"```typescript\n(// lib/ai.*?)```", (ROOT / "docs/typescript.md").read_text(), re.DOTALL)
    (directory / "recorder.ts").write_text(source[1])
    (directory / "package.json").write_text('{"type": "module", "private": true}')
    packages = [f"postgres@{POSTGRES_JS}", f"esbuild@{ESBUILD}"]
    do(directory, "npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *packages)
    do(directory, "npx", "esbuild", "recorder.ts", "--outfile=recorder.js", "--log-level=error")
    return directory


def do(directory: Path, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def record(directory: Path, url: str, body: str) -> subprocess.CompletedProcess[str]:
    script = (
        "import { recordTokenUsage as record, uuidv7 } from './recorder.js';"
        f"const call = {{ model: 'm', input_tokens: 1, output_tokens: 2, total_tokens: 3 }}; {body}; process.exit(0);"
    )
    return do(directory, "node", "--input-type=module", "-e", script, env={"DATABASE_URL": url})


def test_a_call_is_recorded_once_and_its_id_is_a_uuid_v7(node, proxy, database_url):
    body = "const id = uuidv7(); console.log(await record({ ...call, id }), await record({ ...call, id }), id)"
    first, second, name = record(node, proxy.url, body).stdout.split()
    assert (first, second) == ("recorded", "duplicate")
    assert (UUID(name).version, UUID(name).variant) == (7, "specified in RFC 4122")
    assert rows(database_url, "SELECT id::text, delivery, total_tokens FROM token_usage") == [(name, "direct", 3)]


def test_cut_connections_lose_and_double_nothing(node, proxy, database_url):
    url = proxy.url
    proxy.cut_after(3)
    body = "for (let n = 0; n < 20; n++) console.log(await record(call))"
    assert set(record(node, url, body).stdout.split()) == {"recorded"}
    assert value(database_url, "SELECT count(*) FROM token_usage") == 20
    assert value(database_url, "SELECT max(retry_count) FROM token_usage") in (0, 1)


def test_a_failed_record_is_a_log_line_that_can_be_replayed(node, proxy, database_url):
    run(database_url, "ALTER TABLE token_usage RENAME TO elsewhere")
    done = record(node, proxy.url, "console.log(await record(call))")
    assert done.stdout.strip() == "failed"
    assert json.loads(done.stderr)["error"] == "42P01"
    ((_, row),) = LogRecords(io.StringIO(done.stderr))
    assert (row["model"], row["total_tokens"], row["delivery"]) == ("m", 3, "outbox")
