"""The jobs of the dashboard work on the connections that its reader lends."""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

from span_calls_support import CALL, SDK, WRAPPER, recorded, report, send
from support import value
from traces_support import GENAI, post

from tracker.otlp.storing import late_rows
from tracker.reports.engine.reader import Reader
from tracker.rollups.refresh import catch_up
from tracker.rollups.verify import verify
from tracker.settings import load
from tracker.traces import TracesApp


def test_every_function_that_borrows_a_connection_of_the_readers_works_twice(database_url, recorder):
    """SQLAlchemy registers types of its own on them."""
    from tracker.budgets import evaluate as budgets
    from tracker.database.locate import Database
    from tracker.database.url import clean
    from tracker.maintenance import delete_test_records, sample_data
    from tracker.otlp.storing import retrieved_responses, span_store
    from tracker.prices import reprice
    from tracker.prices.price_catalog import PriceCatalog
    from tracker.prices.unpriced_calls import scope_since

    recorder.record(recorded(is_test=True, input_tokens=7))
    database = Database(clean(database_url), embedded=False, settings=load({"DATABASE_URL": database_url}))
    with closing(Reader(database)) as reader:

        @contextmanager
        def borrow():
            with reader.borrow() as connection:
                yield connection, None

        app = TracesApp(borrow, lambda: load({}))
        for _ in range(2):
            send(app, (SDK, [report(1, CALL), report(3, GENAI, parent=1)]), (WRAPPER, [report(2, CALL, trace=2)]))
            post(app, b"", path="/v1/metrics")
            with reader.borrow() as connection:
                late_rows.compare(connection, None)
                span_store.ExpiredSpanCleanup().run(connection, None)
                catch_up(connection, reader.table())
                reprice.price_unpriced_calls(
                    connection, None, PriceCatalog({}), scope_since(datetime.now(UTC) - timedelta(days=1))
                )
                retrieved_responses.remove_since(connection, None, 0.0)
                budgets.evaluate_budgets(connection, None)
                assert list(verify(connection, reader.table())) == []
                sample_data.add(connection, None, days=1)
            delete_test_records.remove_tests(reader)
            delete_test_records.remove_samples(reader)
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE input_tokens = 100") == 1
