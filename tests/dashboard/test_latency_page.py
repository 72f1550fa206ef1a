"""The Latency and errors page: percentiles, time to first token, output speed, and errors by fingerprint."""

from __future__ import annotations

import pytest
from dashboard_support import Execute, OpenPage, figures, texts
from support import run


def test_latency_and_speed_are_shown(open_page: OpenPage, database_url: str, call: Execute) -> None:
    for number in range(1, 101):
        call(processing_time=number * 10, time_to_first_token_ms=number, output_tokens=10)
    call(processing_time=100, output_tokens=0, model="embedding")  # no output: not in the speed
    call(processing_time=60_000, output_tokens=500, success=False, model="failed")
    shown = figures(open_page(database_url, "latency.py"))
    assert shown["First token, p95"] == "95 ms"
    assert shown["Output tokens/s"] == "19.8"  # 1,000 tokens in 50.5 s
    assert shown["Error rate"] == "1%"


def test_ratios_are_of_sums_and_models_are_listed(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(model="fast", processing_time=1000, output_tokens=100)
    call(model="slow", processing_time=9000, output_tokens=100)
    app = open_page(database_url, "latency.py")
    assert figures(app)["Output tokens/s"] == "20"  # 200 tokens in 10 s, not the mean of 100 and 11
    table = app.dataframe[0].value.set_index("model")
    assert table["tokens_per_s"].to_dict() == {"fast": 100.0, "slow": pytest.approx(100 / 9)}
    assert "No call in this range has a time to the first token." in texts(app)
    assert "No call in this range failed." in texts(app)


def test_errors_are_grouped_newest_first(open_page: OpenPage, database_url: str, call: Execute) -> None:
    for hour, message in enumerate(
        ["Limit 10 of req_1aB2cD", "Limit 99 of req_9zY8xW", "**bold** [x](http://e)", None]
    ):
        call(success=False, error_message=message, model="gpt", created_at=f"2024-05-05 0{hour}:00+00")
    call(model="gpt", created_at="2024-05-05 05:00+00")
    app = open_page(database_url, "latency.py", range="2024-05-05")
    rates, errors = (table.value for table in app.dataframe)
    assert rates[["failed_calls", "calls"]].to_numpy().tolist() == [[4, 5]]
    assert errors["error"].to_list() == ["no message", "**bold** [x](<url>)", "Limit <n> of <id>"]
    assert errors["calls"].to_list() == [1, 1, 2]
    assert [f"{time:%H}" for time in errors["first"]] == ["12", "11", "09"]  # Seoul
    assert [f"{time:%H}" for time in errors["last"]] == ["12", "11", "10"]
    markdown = "\n".join(str(one.value) for one in [*app.markdown, *app.caption])
    assert "bold" not in markdown


def test_a_table_without_the_column_names_migrate(open_page: OpenPage, database_url: str, call: Execute) -> None:
    run(database_url, "ALTER TABLE token_usage DROP COLUMN time_to_first_token_ms")
    call(processing_time=10)
    assert "token-tracker migrate" in texts(open_page(database_url, "latency.py"))
