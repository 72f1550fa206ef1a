-- Which calls does the benchmark ask about? `rows` of them over 90 days, 5,000 users, 40 kinds.
INSERT INTO token_usage (
    id, created_at, recorded_at, user_id, session_id, provider, model, operation, input_tokens, output_tokens, total_tokens,
    cache_read_input_tokens, cost, cost_source, processing_time, success, error_message, environment, platform, region,
    deployment, connection_ms, retry_count, delivery, metadata)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid,
       at, at + make_interval(secs => 0.05), 'user_' || floor(5000 * u ^ 2), noise, kind.provider, kind.model,
       (ARRAY['summary_generation', 'tag_generation', 'chat', 'embedding'])[1 + floor(4 * r ^ 2)],
       i, o, i + o, i / 3,
       CASE WHEN kind.model <> 'my-finetune' THEN (i * 0.0000003 + o * 0.0000025)::numeric(12, 8) END,
       CASE WHEN kind.model <> 'my-finetune' THEN 'provided' END,
       (300 + 2500 * exp(1.2 * (r + u - s)))::int, s > 0.01,
       CASE WHEN s <= 0.01 THEN 'ResourceExhausted: quota exceeded' END,
       CASE WHEN s < 0.85 THEN 'production' ELSE 'preview' END, 'vercel', 'icn1', 'a1b2c3d',
       (3 + 40 * exp(2 * (s + r - u - 0.5)))::real, (s > 0.98)::int, 'direct',
       jsonb_build_object('team', 'team ' || floor(20 * u ^ 2), 'tags', jsonb_build_array('t' || (o % 5), 't' || (i % 7)),
                          'request_id', noise)
FROM (
    SELECT now() - interval '90 days' * (1 - n::float8 / :rows) AS at, random() AS u, random() AS r, random() AS s,
           md5(n::text) AS noise, (400 + 3000 * random() ^ 2)::int AS i, (50 + 600 * random() ^ 2)::int AS o
    FROM generate_series(1, :rows) AS n
) AS drawn
JOIN (
    VALUES (0, 'google', 'gemini-2.5-flash'), (1, 'google', 'gemini-2.5-pro'), (2, 'openai', 'gpt-4.1-mini'),
           (3, 'anthropic', 'claude-sonnet-4-5'), (4, 'own', 'my-finetune')
) AS kind (number, provider, model) ON kind.number = floor(5 * (u * 7919 - floor(u * 7919)))
