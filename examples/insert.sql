-- One AI call, from an app in any language that inserts by itself. Make the id (a UUIDv7) before the first attempt and
-- try with the same one again: a second try adds nothing, and one row back means that this try stored it.
-- input_tokens includes cached ones, output_tokens includes reasoning; created_at is when the call ended, with its zone.
INSERT INTO token_usage (id, created_at, user_id, provider, model, operation, input_tokens, output_tokens, total_tokens,
                         cache_read_input_tokens, reasoning_output_tokens, processing_time, success, error_message,
                         environment, platform, delivery, retry_count)
VALUES ($1::uuid, $2::timestamptz, $3, $4, $5, $6, $7::integer, $8::integer, $7::integer + $8::integer, $9::integer,
        $10::integer, $11::integer, $12::boolean, $13, $14, $15, 'direct', $16::smallint)
ON CONFLICT (id) DO NOTHING
RETURNING id;
