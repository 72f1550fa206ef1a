"""What the receiver of spans does without a table or a privilege, and which privileges are enough."""

from __future__ import annotations

import re

from span_calls_support import CALL, SDK, WRAPPER, compared, recorded, report, send, stored
from support import ROOT, run, value, with_role
from traces_support import app_on, post


def test_without_the_table_of_calls_a_process_uses_the_reports_in_memory(database_url, caplog):
    run(database_url, "DROP TABLE token_tracker_span_calls")
    app = app_on(database_url)
    send(app, (SDK, [report(1, CALL)]))
    answer = send(app, (WRAPPER, [report(2, CALL, trace=2)]))
    assert len(stored(database_url)) == 1
    assert "token-tracker migrate" in answer["partialSuccess"]["errorMessage"]
    assert caplog.text.count("may count twice") == 1


def test_a_role_that_may_not_delete_stores_one_row_and_names_the_right(database_url, new_role):
    name = new_role()
    run(
        database_url,
        f"GRANT SELECT, INSERT ON token_usage, token_tracker_spans TO {name}",
        f"GRANT SELECT, INSERT, UPDATE ON token_tracker_span_calls TO {name}",
    )
    app = app_on(with_role(database_url, name))
    send(app, (SDK, [report(1, CALL)]))
    answer = send(app, (WRAPPER, [report(2, {**CALL, "user.id": "u_7"}, trace=2)]))
    assert "DELETE ON token_usage" in answer["partialSuccess"]["errorMessage"]
    assert stored(database_url, "user_id") == [("anonymous",)]


def test_the_rights_that_the_documentation_names_are_enough(database_url, new_role, new_tracker):
    name = new_role()
    grants = re.findall(
        r"^GRANT .* TO the_role;$", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    run(database_url, *(grant.replace("the_role", name) for grant in grants))
    url = with_role(database_url, name)
    app, recorder = app_on(url), new_tracker()
    assert send(app, (SDK, [report(1, CALL)])) == {}
    assert send(app, (WRAPPER, [report(2, {**CALL, "user.id": "u_7"}, trace=2)])) == {}
    assert stored(database_url, "user_id") == [("u_7",)]
    recorder.record(recorded())
    assert compared(url).removed == 1
    recorder.record(recorded(input_tokens=0, output_tokens=0, metadata={"response_id": "chatcmpl-X"}))
    assert send(app, (SDK, [report(3, {**CALL, "gen_ai.response.id": "chatcmpl-X"}, trace=3)])) == {}
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'removed'") == 1
    assert post(app, b"", path="/v1/logs")[0] == 200
    assert value(database_url, "SELECT items FROM token_tracker_unread") == 1
