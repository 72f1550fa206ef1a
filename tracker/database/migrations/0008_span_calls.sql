-- The AI calls that spans of the last day reported. One call that several instrumentations report is one row of
-- token_usage: call_id is the id of that row, and NULL if the span repeats the usage of spans below it.
CREATE TABLE IF NOT EXISTS token_tracker_span_calls (
    record_id uuid PRIMARY KEY,
    trace_id uuid NOT NULL,
    span_id text NOT NULL,
    scope text NOT NULL,
    service text,
    model text NOT NULL,
    request_model text,
    response_id text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cache_read_input_tokens integer NOT NULL,
    cache_write_input_tokens integer NOT NULL,
    reasoning_output_tokens integer NOT NULL,
    succeeded boolean NOT NULL,
    has_problem boolean NOT NULL,
    call_id uuid,
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS token_tracker_span_calls_trace_id_idx ON token_tracker_span_calls (trace_id);
CREATE INDEX IF NOT EXISTS token_tracker_span_calls_ended_at_idx ON token_tracker_span_calls (ended_at);
CREATE INDEX IF NOT EXISTS token_tracker_span_calls_call_id_idx ON token_tracker_span_calls (call_id);
CREATE INDEX IF NOT EXISTS token_tracker_span_calls_seen_at_idx ON token_tracker_span_calls (seen_at);
COMMENT ON TABLE token_tracker_span_calls IS 'AI calls reported by spans of the last day; docs/sources.md explains it';
-- How far the rows that recorders wrote have been compared with the calls of spans.
CREATE TABLE IF NOT EXISTS token_tracker_span_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    compared_until timestamptz NOT NULL
);
COMMENT ON TABLE token_tracker_span_state IS 'Rows of token_usage with an earlier recorded_at have been compared with spans';
-- What exporters sent and Token Tracker could not read; at most a few hundred rows.
CREATE TABLE IF NOT EXISTS token_tracker_unread (
    signal text NOT NULL,
    scope text NOT NULL,
    items bigint NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (signal, scope)
);
COMMENT ON TABLE token_tracker_unread IS 'GenAI spans by scope, and exports of metrics and logs, that were not read';
