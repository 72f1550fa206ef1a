-- One row is one AI call. Input includes cached tokens, output includes reasoning tokens.
CREATE TABLE IF NOT EXISTS token_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    recorded_at timestamptz DEFAULT now(),
    user_id text NOT NULL DEFAULT 'anonymous',
    session_id text,
    provider text,
    model text NOT NULL,
    operation text NOT NULL DEFAULT 'chat',
    input_tokens integer NOT NULL CHECK (input_tokens >= 0),
    output_tokens integer NOT NULL CHECK (output_tokens >= 0),
    total_tokens integer NOT NULL CHECK (total_tokens >= 0),
    cache_read_input_tokens integer NOT NULL DEFAULT 0 CHECK (cache_read_input_tokens >= 0),
    cache_write_input_tokens integer NOT NULL DEFAULT 0 CHECK (cache_write_input_tokens >= 0),
    reasoning_output_tokens integer NOT NULL DEFAULT 0 CHECK (reasoning_output_tokens >= 0),
    cost numeric,
    cost_source text,
    processing_time integer,
    time_to_first_token_ms integer,
    success boolean NOT NULL DEFAULT true,
    error_message text,
    environment text,
    platform text,
    region text,
    deployment text,
    connection_ms real,
    retry_count smallint,
    delivery text,
    instance_id uuid,
    sequence integer,
    is_test boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE token_usage IS 'Token usage of AI calls, one row a call';
COMMENT ON COLUMN token_usage.created_at IS 'When the AI call ended';
COMMENT ON COLUMN token_usage.recorded_at IS 'When the row reached the database';
COMMENT ON COLUMN token_usage.time_to_first_token_ms IS 'From the start of the AI call to the first content of a stream';
COMMENT ON COLUMN token_usage.cost IS 'USD; NULL means unpriced';
CREATE INDEX token_usage_created_at_idx ON token_usage (created_at);
CREATE INDEX token_usage_user_id_created_at_idx ON token_usage (user_id, created_at);
-- Rows that were recorded long after their call ended: the refresh uses this index to find their buckets.
CREATE INDEX token_usage_late_idx ON token_usage (recorded_at)
    WHERE (recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > (created_at AT TIME ZONE 'UTC');
