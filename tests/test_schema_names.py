"""A schema of any name works with every command, the recorder and the pages' questions."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support import a_call, run, value, with_parameters

from tracker import Tracker
from tracker.background_tasks import TaskRunner
from tracker.cli import main
from tracker.maintenance import check_budgets, price_new_calls
from tracker.otlp.storing.late_rows import compare_late_rows
from tracker.reports.engine import current_reader

NAMES = (
    "100%",
    "%s",
    "%(id)s",
    "%%",
    "a :start",
    "::x",
    'quo"te',
    "back\\slash %",
    "token_usage",
    "수정 é{table}",
    "a.b",
)
COMMANDS = (
    ["migrate", "--dry-run"],
    ["record", "--model", "m", "--input-tokens", "1", "--output-tokens", "1"],
    ["import", "calls.csv"],
    ["rollup"],
    ["rollup", "--verify"],
    ["rollup", "--rebuild"],
    ["reprice", "--dry-run"],
    ["reprice"],
    ["budget", "set", "b", "--usd", "100", "--per", "day"],
    ["budget", "set", "c", "--tokens", "100000", "--per", "day", "--user", "u"],
    ["budget", "check"],
    ["prune", "--older-than", "90d"],
    ["sample-data", "--days", "1", "--force"],
    ["sample-data", "--remove"],
    ["outbox", "drain"],
)


@pytest.mark.parametrize("schema", NAMES)
def test_a_schema_of_any_name(empty_database_url, schema, monkeypatch, tmp_path, capsys) -> None:
    identifier = '"' + schema.replace('"', '""') + '"'
    run(empty_database_url, f"CREATE SCHEMA {identifier}")
    url = with_parameters(empty_database_url, f"schema={quote(schema, safe='')}")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls.csv").write_text(
        "created_at,model,user_id,operation,input_tokens,output_tokens\n2024-01-01T00:00Z,m,u,chat,1,2\n"
    )
    assert main(["migrate"]) == 0
    for command in COMMANDS:
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert main(["doctor"]) in {0, 1}
    said = capsys.readouterr()
    assert "SQLSTATE" not in said.err + said.out
    for mode in ("direct", "background"):
        with Tracker(database_url=url, mode=mode) as tracker:
            tracker.record(a_call())
            assert tracker.flush() == 0
    tasks = TaskRunner()
    current_reader.close()
    for work in (compare_late_rows, price_new_calls.price_new_calls, check_budgets.check_budgets):
        tasks.run(work.__name__, work)
    current_reader.close()
    assert [state["error"] for state in tasks.states()] == [None] * 3
    assert value(empty_database_url, f"SELECT count(*) FROM {identifier}.token_usage WHERE delivery IS NOT NULL") == 3
