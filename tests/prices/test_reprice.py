"""token-tracker reprice: first the plan, then the changes; given costs remain."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from support import a_call, connect, python, rows, run

from tracker.cli import main
from tracker.database.schema import read_table
from tracker.errors import RecordError
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.reprice import price_unpriced_calls
from tracker.prices.unpriced_calls import scope_since
from tracker.recording.bulk_insert import BatchWriter
from tracker.rollups.refresh import catch_up
from tracker.rollups.rollup_tables import ALL

LISTED = f"genai-prices {genai_prices.__version__}"


@pytest.fixture
def command(monkeypatch, database_url):
    """Runs the command on the test's database; its exit code."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *arguments: main(["reprice", *arguments])


def costs(url):
    return {
        model: (cost, source) for model, cost, source in rows(url, "SELECT model, cost, cost_source FROM token_usage")
    }


@pytest.fixture
def calls(connection):
    """One call each: without a cost, with a given one, with an old list's, with an app's own, of an unknown model."""
    writer = BatchWriter(connection, None)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    for given in (
        {"model": "gpt-4o", "provider": "openai"},
        {"model": "gpt-4.1", "provider": "openai", "cost": "9"},
        {"model": "gpt-4.1-mini", "provider": "openai", "cost": "9", "cost_source": "genai-prices 0.0.1"},
        {"model": "my-finetune", "provider": "own"},
        {"model": "gpt-4.1-nano", "metadata": {"usage_problem": "no usage"}},
    ):
        row = a_call(created_at=day, input_tokens=1_000_000, output_tokens=0, **given).as_row()
        writer.add(row, None)
    writer.flush()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO token_usage (model, provider, input_tokens, output_tokens, total_tokens, cost, created_at)"
            " VALUES ('o3', 'openai', 1000000, 0, 1000000, 7, '2025-06-01')"
        )


def test_a_dry_run_shows_the_sums_and_writes_nothing(command, calls, database_url, capsys):
    before = costs(database_url)
    assert command("--dry-run") == 0
    out = capsys.readouterr().out
    assert "openai/gpt-4o" in out
    assert "2.500000" in out
    assert "1 without a price" in out
    assert next(line.split()[1:5] for line in out.splitlines() if line.startswith("own/my-finetune")) == [
        *("1", "0", "-", "-")
    ]
    assert "2 calls would change; nothing was written." in out
    assert costs(database_url) == before


def test_given_costs_do_not_change(command, calls, database_url, capsys):
    assert command() == 0
    assert "2 calls changed." in capsys.readouterr().out
    found = costs(database_url)
    assert found["gpt-4o"][0] == Decimal("2.5")
    assert found["gpt-4o"][1].startswith("genai-prices ")
    assert found["gpt-4.1"] == (9, "provided")
    assert found["gpt-4.1-mini"][0] == Decimal("0.4")
    assert found["my-finetune"] == (None, "unpriced model_unknown")
    assert found["gpt-4.1-nano"] == (None, "unpriced usage_inconsistent")
    assert found["o3"] == (7, None)


def test_a_second_run_changes_nothing(command, calls, capsys):
    command()
    capsys.readouterr()
    assert command() == 0
    assert "0 calls changed." in capsys.readouterr().out


def test_the_rollups_hold_the_new_costs(command, calls, database_url):
    with closing(connect(database_url)) as connection:
        catch_up(connection, read_table(connection))
    assert command() == 0
    question = "SELECT sum(cost) FROM {} WHERE {}"
    summed = rows(database_url, question.format("token_tracker_usage_rollup", "minutes = 1440"))
    assert summed == rows(database_url, question.format("token_usage", "true"))
    assert rows(database_url, "SELECT * FROM token_tracker_rollup_touched") == []


def test_without_rollups_the_costs_are_set_all_the_same(command, calls, database_url, capsys):
    run(database_url, *(f"DROP TABLE {name}" for name in ALL))
    assert command() == 0
    printed = capsys.readouterr()
    assert "2 calls changed." in printed.out
    assert "refreshed at the next read" in printed.err


def test_since_leaves_earlier_calls_alone(command, calls, database_url):
    assert command("--since", "2026-03-02") == 0
    assert costs(database_url)["gpt-4o"] == (None, None)


def test_own_prices_are_used(command, calls, database_url, monkeypatch, tmp_path):
    (tmp_path / "p.toml").write_text('[[price]]\nmodel = "my-finetune"\ninput = 0.123456789\noutput = 0')
    monkeypatch.setenv("TRACKER_PRICES", str(tmp_path / "p.toml"))
    assert command() == 0
    assert costs(database_url)["my-finetune"] == (Decimal("0.123456789"), "own prices")


@pytest.mark.parametrize("arguments", [["--since", "yesterday"]])
def test_a_day_that_cannot_be_read_is_exit_2(command, arguments, capsys):
    assert command(*arguments) == 2
    assert "--since" in capsys.readouterr().err


def test_a_broken_file_of_prices_is_exit_2(command, monkeypatch, capsys):
    monkeypatch.setenv("TRACKER_PRICES", "/nowhere/p.toml")
    assert command() == 2
    assert "TRACKER_PRICES" in capsys.readouterr().err


def test_an_adopted_table_with_few_digits_and_naive_times_settles(command, empty_database_url, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamp DEFAULT now(),"
        " user_id text, model text, input_tokens int, output_tokens int, total_tokens int, cost numeric(10,6),"
        ' "weird name" text)',
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('gpt-4.1-mini', 1, 1, 2)",
    )
    assert main(["migrate"]) == 0
    assert command() == 0
    assert "1 calls changed." in capsys.readouterr().out
    assert rows(empty_database_url, "SELECT cost FROM token_usage") == [(Decimal("0.000002"),)]
    assert command() == 0
    assert "0 calls changed." in capsys.readouterr().out


def test_fill_prices_new_calls_and_marks_the_rollups_it_touched(calls, connection, database_url):
    scope = scope_since(datetime(2026, 1, 1, tzinfo=UTC))
    found = price_unpriced_calls(connection, None, PriceCatalog(), scope)
    assert (found.changed, found.explained) == (1, 2)
    assert rows(database_url, "SELECT bucket FROM token_tracker_rollup_touched") == [
        (datetime(2026, 3, 1, tzinfo=UTC),)
    ]
    assert not price_unpriced_calls(connection, None, PriceCatalog(), scope).has_changes


def test_what_fails_on_the_way_leaves_no_half_batch(calls, connection, database_url):
    run(database_url, "ALTER TABLE token_tracker_rollup_touched ADD CONSTRAINT none CHECK (false)")
    with pytest.raises(RecordError):
        price_unpriced_calls(connection, None, PriceCatalog(), scope_since(datetime(2026, 1, 1, tzinfo=UTC)))
    assert costs(database_url)["gpt-4o"] == (None, None)


def store(connection, **given):
    """One call of the day on which gpt-5 costs 1.25 USD for a million tokens."""
    writer = BatchWriter(connection, None)
    fields = {"model": "gpt-5", "provider": "openai", "input_tokens": 1_000_000, "output_tokens": 0, **given}
    writer.add(a_call(created_at=datetime(2026, 3, 1, tzinfo=UTC), **fields).as_row(), None)
    writer.flush()


def test_an_earlier_cost_becomes_null_where_the_list_has_no_price_by_todays_rules(
    command, connection, database_url, capsys
):
    flex = {"metadata": {"usage": {"service_tier": "flex"}}}
    store(connection, cost="1.25", cost_source="genai-prices 0.2.3", **flex)
    assert command("--dry-run") == 0
    out = capsys.readouterr().out
    assert "1 calls would change; nothing was written." in out
    assert "The price list has no price for flex of this model on the day of the call." in out
    assert costs(database_url)["gpt-5"] == (Decimal("1.25"), "genai-prices 0.2.3")
    assert command() == 0
    assert "1 calls changed." in capsys.readouterr().out
    assert costs(database_url)["gpt-5"] == (None, "unpriced tier_not_priced flex")


@pytest.mark.parametrize(
    ("given", "arguments", "expected"),
    [
        ({"provider": "openrouter", "model": "openai/gpt-5"}, [], Decimal("1.25")),
        ({"provider": "openrouter", "model": "openai/gpt-5", "input_tokens": 0}, [], 0),
        ({"provider": "openrouter", "model": "not/listed"}, [], 0),
        ({"provider": "openai"}, [], 0),
        ({"provider": "openai"}, ["--replace-zero-costs"], Decimal("1.25")),
        ({"provider": "openai", "input_tokens": 0}, ["--replace-zero-costs"], 0),
        ({"provider": "openai", "metadata": {"usage": {"service_tier": "flex"}}}, ["--replace-zero-costs"], 0),
    ],
)
def test_a_given_zero_is_replaced_only_where_it_is_known_to_be_wrong(
    command, connection, database_url, given, arguments, expected
):
    store(connection, cost=0, **given)
    assert command(*arguments) == 0
    assert [cost for cost, _ in costs(database_url).values()] == [expected]


def test_the_reasons_are_printed_with_their_models_and_calls(command, connection, capsys):
    for _ in range(2):
        store(connection, model="my-finetune", provider="own")
    store(connection, metadata={"usage": {"service_tier": "tur\x1bbo"}})
    assert command() == 0
    out = capsys.readouterr().out
    lines = out[out.index("without a price:") :].splitlines()
    assert lines[1].split(maxsplit=2) == ["own/my-finetune", "2", "The price list does not contain this model."]
    assert lines[2].split(maxsplit=2) == [
        "openai/gpt-5",
        "1",
        "The meaning of the service tier tur?bo is not known, so no price applies.",
    ]
    assert "3 calls without a price got the reason." in out


@pytest.mark.parametrize("kind", ["numeric(10,6)", "double precision", "real"])
def test_a_second_run_changes_nothing_for_any_type_of_the_cost(command, empty_database_url, monkeypatch, capsys, kind):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz DEFAULT now(),"
        f" user_id text, model text, input_tokens int, output_tokens int, total_tokens int, cost {kind})",
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens)"
        " VALUES ('gpt-4.1-mini', 123457, 1113, 124570)",
    )
    assert main(["migrate"]) == 0
    assert command() == 0
    assert "1 calls changed." in capsys.readouterr().out
    assert command() == 0
    assert "0 calls changed." in capsys.readouterr().out


def test_the_installed_command_prices_and_explains(connection, database_url):
    store(connection)
    store(connection, model="whisper-1", input_tokens=0)
    done = python("-m", "tracker", "reprice", env={"DATABASE_URL": database_url})
    assert (done.returncode, done.stderr) == (0, "")
    assert "The model is billed by audio_seconds, which is not recorded for the call." in done.stdout
    assert costs(database_url) == {
        "gpt-5": (Decimal("1.25"), LISTED),
        "whisper-1": (None, "unpriced unit_missing audio_seconds"),
    }
