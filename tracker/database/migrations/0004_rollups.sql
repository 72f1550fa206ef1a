-- Sums of token_usage in buckets of 15, 60 and 1440 minutes of UTC; docs/rollups.md has the design.
-- Generation 0 contains the sums of existing rows; later generations contain pruned rows and are never refreshed.
CREATE TABLE IF NOT EXISTS token_tracker_usage_rollup (
    minutes smallint NOT NULL,
    bucket timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    provider text,
    model text,
    operation text,
    environment text,
    calls bigint NOT NULL,
    failed_calls bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    cache_read_input_tokens bigint NOT NULL,
    cache_write_input_tokens bigint NOT NULL,
    reasoning_output_tokens bigint NOT NULL,
    cost numeric,
    unpriced_calls bigint NOT NULL,
    unpriced_tokens bigint NOT NULL,
    sample_calls bigint NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_usage_rollup_idx ON token_tracker_usage_rollup (minutes, bucket);

-- slots and counts are a histogram: counts[n] calls have a duration of slot slots[n] (8 slots per octave).
CREATE TABLE IF NOT EXISTS token_tracker_latency_rollup (
    minutes smallint NOT NULL,
    bucket timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    provider text,
    model text,
    calls bigint NOT NULL,
    max_ms double precision NOT NULL,
    slots smallint[] NOT NULL,
    counts bigint[] NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_latency_rollup_idx ON token_tracker_latency_rollup (minutes, bucket);

CREATE TABLE IF NOT EXISTS token_tracker_recording_rollup (
    minutes smallint NOT NULL,
    bucket timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    environment text,
    records bigint NOT NULL,
    retried_records bigint NOT NULL,
    retries bigint NOT NULL,
    late_records bigint NOT NULL,
    worst_lag_s double precision,
    connection_max_ms double precision,
    slots smallint[] NOT NULL,
    counts bigint[] NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_recording_rollup_idx ON token_tracker_recording_rollup (minutes, bucket);

-- One row per user and UTC day; the arrays contain the day's 15-minute buckets (slots 0 to 95) that have calls.
CREATE TABLE IF NOT EXISTS token_tracker_user_rollup (
    day timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    first_slot smallint NOT NULL,
    last_slot smallint NOT NULL,
    user_id text,
    calls bigint NOT NULL,
    total_tokens bigint NOT NULL,
    cost numeric,
    unpriced_calls bigint NOT NULL,
    slots smallint[] NOT NULL,
    slot_calls integer[] NOT NULL,
    slot_tokens bigint[] NOT NULL,
    slot_costs numeric[] NOT NULL,
    slot_unpriced integer[] NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_user_rollup_day_idx ON token_tracker_user_rollup (day);
CREATE INDEX IF NOT EXISTS token_tracker_user_rollup_user_idx ON token_tracker_user_rollup (user_id, day);

-- Dirty 15-minute buckets: their rows were changed or deleted since the last refresh. The table has no key, so that two
-- transactions that mark the same bucket do not wait for each other.
CREATE TABLE IF NOT EXISTS token_tracker_rollup_touched (
    bucket timestamptz NOT NULL
);

-- One row; its lock allows a process to refresh.
CREATE TABLE IF NOT EXISTS token_tracker_rollup_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    covered_from timestamptz NOT NULL DEFAULT 'infinity',
    seen_until timestamptz NOT NULL DEFAULT '-infinity',
    refreshed_at timestamptz,
    generation integer NOT NULL DEFAULT 0,
    pruned_until timestamptz
);
COMMENT ON COLUMN token_tracker_rollup_state.covered_from IS 'Rollups hold every whole day from here on';
COMMENT ON COLUMN token_tracker_rollup_state.seen_until IS 'Every row with an earlier recorded_at has been seen';
COMMENT ON COLUMN token_tracker_rollup_state.generation IS 'The last prune''s number';
COMMENT ON COLUMN token_tracker_rollup_state.pruned_until IS 'Single rows from before are gone';
INSERT INTO token_tracker_rollup_state DEFAULT VALUES ON CONFLICT DO NOTHING;
