"""GET /metrics: the exported totals around changes of the calls, and the route of a running dashboard."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support import ROOT, connect, run, with_role

from tracker import TokenUsage, Tracker
from tracker.cli import main
from tracker.metrics.collector import MetricsCollector
from tracker.reports.engine import current_reader

Samples = dict[str, float]


class _Registry:
    def __init__(self, collector: MetricsCollector) -> None:
        self._families = list(collector.collect())

    def collect(self) -> list[object]:
        return self._families


def scrape(collector: MetricsCollector) -> Samples:
    return samples(generate_latest(_Registry(collector)).decode())


def samples(text: str) -> Samples:
    """The samples by name and label values, as a client that knows the format reads them."""
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def collector(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsCollector]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    yield MetricsCollector(current_reader.reader)
    current_reader.close()


MODEL = "development:chat:openai:gpt-5"  # the parser sorts the labels by name
COST = f"token_tracker_cost_usd_total:{MODEL}"
CALLS = f"token_tracker_calls_total:{MODEL}"
INPUT = f"gen_ai_client_token_usage_total:{MODEL}:input"


def record(recorder: Tracker, cost: float, count: int = 1) -> None:
    for _ in range(count):
        usage = TokenUsage(provider="openai", model="gpt-5", input_tokens=100, output_tokens=10, cost=cost)
        recorder.record(usage)


def change(url: str, statement: str) -> None:
    """Change calls as the commands do: they mark the changed buckets."""
    touched = (
        "INSERT INTO token_tracker_rollup_touched SELECT date_bin('15 minutes', created_at, 'epoch') FROM token_usage"
    )
    run(url, touched, statement)


def test_the_totals_never_fall(
    collector: MetricsCollector, recorder: Tracker, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record(recorder, 1.0, count=3)
    recorder.record(TokenUsage(provider="openai", model="gpt-5", input_tokens=7, output_tokens=7, is_test=True))
    assert main(["rollup"]) == 0
    seen = scrape(collector)
    assert (seen[COST], seen[CALLS], seen[INPUT]) == (3.0, 3.0, 300.0)
    assert seen["token_tracker_totals_stored"] == 1.0

    change(database_url, "UPDATE token_usage SET cost = 0.5 WHERE NOT is_test")  # a lower price
    assert scrape(collector)[COST] == 3.0
    change(database_url, "UPDATE token_usage SET cost = 2 WHERE NOT is_test")  # a higher one: 1.5 more for each call
    assert scrape(collector)[COST] == 7.5
    record(recorder, 0.25)
    assert scrape(collector)[COST] == 7.75

    change(database_url, "DELETE FROM token_usage WHERE id IN (SELECT id FROM token_usage WHERE NOT is_test LIMIT 2)")
    assert scrape(collector)[CALLS] == 4.0
    record(recorder, 0.0, count=2)
    assert scrape(collector)[CALLS] == 6.0  # 2 of 4 were removed, so that 4 rows are in the table

    change(database_url, "UPDATE token_usage SET created_at = created_at - interval '100 days'")
    assert main(["rollup", "--rebuild"]) == 0
    before = scrape(collector)
    assert (before[COST], before[CALLS]) == (7.75, 6.0)
    assert main(["prune", "--older-than", "90d"]) == 0
    after = scrape(MetricsCollector(current_reader.reader))  # a restart
    assert (after[COST], after[CALLS]) == (before[COST], before[CALLS])
    capsys.readouterr()


def test_dashboards_that_scrape_at_once_export_the_same(
    collector: MetricsCollector, recorder: Tracker, database_url: str
) -> None:
    record(recorder, 1.0)
    collectors = [collector, *(MetricsCollector(current_reader.reader) for _ in range(3))]
    highest: list[float] = []

    def scrape_often(own: MetricsCollector) -> None:
        highest.extend(scrape(own)[CALLS] for _ in range(8))

    threads = [threading.Thread(target=scrape_often, args=(own,)) for own in collectors]
    for thread in threads:
        thread.start()
    record(recorder, 1.0, count=20)
    for thread in threads:
        thread.join()
    assert scrape(collectors[0])[CALLS] == scrape(collectors[3])[CALLS] == 21.0
    assert max(highest) <= 21.0


def test_a_role_that_sees_few_calls_does_not_count_into_the_stored_totals(
    collector: MetricsCollector,
    recorder: Tracker,
    database_url: str,
    new_role: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record(recorder, 1.0, count=3)
    assert main(["rollup"]) == 0
    role = new_role()
    run(
        database_url,
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY none ON token_usage FOR SELECT TO {role} USING (false)",
    )
    for _ in range(2):
        monkeypatch.setenv("DATABASE_URL", database_url)
        assert scrape(collector)[CALLS] == 3.0
        monkeypatch.setenv("DATABASE_URL", with_role(database_url, role))
        assert scrape(MetricsCollector(current_reader.reader))["token_tracker_totals_stored"] == 0.0


def test_calls_that_a_scrape_cannot_count_in_time_are_counted_by_the_minute_job(
    collector: MetricsCollector, recorder: Tracker, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(recorder, 1.0)
    with closing(connect(database_url)) as other:
        other.autocommit = False
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE token_tracker_metric_totals")  # a count takes longer than a scrape waits
        seen = scrape(collector)
        assert (seen["token_tracker_database_up"], CALLS in seen) == (1.0, False)
        other.rollback()
    collector.read_slow_values()
    seen = scrape(collector)
    assert seen[CALLS] == 1.0
    assert 0 <= seen["token_tracker_values_age_seconds:calls"] < 60
    assert seen["token_tracker_records_24h:stored"] == 1.0


def test_a_role_that_may_not_write_the_totals_exports_those_of_its_process(
    collector: MetricsCollector,
    recorder: Tracker,
    database_url: str,
    new_role: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record(recorder, 1.0)
    role = new_role()
    run(database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    monkeypatch.setenv("DATABASE_URL", with_role(database_url, role))
    seen = scrape(collector)
    assert (seen["token_tracker_totals_stored"], seen[CALLS]) == (0.0, 1.0)
    run(database_url, "DELETE FROM token_usage")
    assert scrape(collector)[CALLS] == 1.0


def test_without_a_database_the_outbox_of_this_machine_is_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none")
    text = generate_latest(_Registry(MetricsCollector(current_reader.reader))).decode()
    current_reader.close()
    seen = samples(text)
    assert (seen["token_tracker_database_up"], seen["token_tracker_outbox_records:waiting"]) == (0.0, 0.0)
    assert "secret-word" not in text


def test_the_command_prints_a_token_and_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-token", "app", "--property", "team=a b"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"tt_[\w-]{43}\n", printed.out)
    assert re.search(r": app:[0-9a-f]{64}:metadata\.team=a%20b$", printed.err)
    assert main(["api-token", "two words"]) == 2


GRAFANA = ROOT / "examples" / "grafana"


def test_the_grafana_example_uses_exported_names_only(collector: MetricsCollector, recorder: Tracker) -> None:
    record(recorder, 1.0)
    main(["rollup"])
    scrape(collector)
    collector.read_slow_values()
    exported = {name.partition(":")[0] for name in scrape(collector)}
    families = {family.name for family in collector.collect()}
    known = exported | {f"{name}_total" for name in families} | families
    dashboard = json.loads((GRAFANA / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = (GRAFANA / "alerts.yaml").read_text(encoding="utf-8")
    expressions += re.findall(r"expr: (.+)", rules)
    assert len(expressions) >= 15
    used = {
        name
        for text in expressions
        for name in re.findall(r"\b(?:gen_ai|token_tracker|postgresql|db_client)_\w+", text)
    }
    assert sorted(used - known - _LABELS) == []


_LABELS = {
    "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_operation_name", "gen_ai_token_type",
    "db_client_connection_state", "db_client_connection_pool_name",
}  # fmt: skip
