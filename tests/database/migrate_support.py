"""Shared by the tests of migrations: an application's own table, and what a database contains before and after."""

from __future__ import annotations

from support import connect, rows

from tracker.database.migrate import migrate as migrate_with
from tracker.database.migrations import FILES
from tracker.rollups import rollup_tables

# The table of the user's document, as their TypeScript app made it.
OLD_TABLE = """
CREATE TABLE token_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id text,
    note_id uuid,
    model text NOT NULL,
    operation text,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    total_tokens integer NOT NULL,
    cost numeric(10,6),
    processing_time integer,
    success boolean DEFAULT true,
    error_message text,
    created_at timestamp DEFAULT now() NOT NULL
)"""
OLD_INDEX = "CREATE INDEX idx_usage_note ON token_usage (note_id, created_at)"
OLD_INSERT = (
    "INSERT INTO token_usage (user_id, note_id, model, operation, input_tokens, output_tokens, total_tokens, cost)"
    " VALUES (NULL, '0b0e0000-0000-4000-8000-000000000001', 'gemini-2.0-flash', NULL, 10, 5, 15, 0.000125)"
)
# So many that an index is built beside the table's writers.
MANY_ROWS = OLD_INSERT.replace("VALUES (", "SELECT ").removesuffix(")") + " FROM generate_series(1, 20000)"
OTHER_STEPS = [
    *(f"{version:04} {name}" for version, name in FILES.items()),
    "0002 index_token_usage",
]
OURS = (
    "token_tracker_migrations",
    "token_tracker_ledger",
    "token_tracker_alerts",
    "token_tracker_spans",
    "token_tracker_span_calls",
    "token_tracker_span_state",
    "token_tracker_unread",
    "token_tracker_budgets",
    "token_tracker_budget_alerts",
    "token_tracker_deployments",
    "token_tracker_prices",
    "token_tracker_setting_changes",
    "token_tracker_saved_views",
    "token_tracker_metric_totals",
    "token_tracker_digests",
    *rollup_tables.ALL,
)
COLUMN_FACTS = """
SELECT a.attname, format_type(a.atttypid, NULL), pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'token_usage'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'token_usage' ORDER BY 1"
# Everything a database holds of ours: what a run that changes nothing must leave as it is.
WHOLE_SCHEMA = """
SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       col_description(c.oid, a.attnum), c.relrowsecurity, c.relacl::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 3"""


def migrate(url: str, schema: str | None = None, **options):
    return migrate_with(lambda: connect(url), schema, **options)


def schema_of(url: str) -> list[tuple]:
    return rows(url, WHOLE_SCHEMA)
