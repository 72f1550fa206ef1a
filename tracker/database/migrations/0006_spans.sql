-- The parents of OpenTelemetry spans, for a day: a span counts only if no span below it has usage, and its parents and
-- children may arrive in any order, in any export, at any process.
CREATE TABLE IF NOT EXISTS token_tracker_spans (
    trace_id uuid NOT NULL,
    span_id text NOT NULL,
    parent_id text NOT NULL,
    record_id uuid,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trace_id, span_id)
);
CREATE INDEX IF NOT EXISTS token_tracker_spans_seen_at_idx ON token_tracker_spans (seen_at);
COMMENT ON TABLE token_tracker_spans IS 'Spans of the last day and their parents; docs/sources.md says what for';
COMMENT ON COLUMN token_tracker_spans.record_id IS 'The id of the row in token_usage that a span with usage makes';
