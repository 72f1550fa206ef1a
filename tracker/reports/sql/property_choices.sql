-- Which top-level keys does the metadata of the newest calls have, with how many values, most frequent first?
-- Reads the newest calls only. Metadata above 64 kB is skipped, because reading it takes too long.
\ir defaults.sql
\if :{?sample_calls} \else \set sample_calls 1000 \endif
\if :{?value_count} \else \set value_count 20 \endif
\if :{?value_chars} \else \set value_chars 1000 \endif
WITH newest AS MATERIALIZED (
    SELECT to_jsonb(metadata) AS metadata
    FROM (
        SELECT metadata
        FROM token_usage AS calls
        WHERE (:include_tests OR is_test IS NOT TRUE)
        ORDER BY created_at DESC
        LIMIT :sample_calls
    ) AS sample
    WHERE pg_column_size(metadata) <= 65536
), grouped AS (
    SELECT property.key, property.item::text AS item, count(*) AS calls
    FROM newest
    CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(metadata) WHEN 'object' THEN metadata ELSE '{}' END)
      AS property (key, item)
    GROUP BY 1, 2
), counted AS (
    SELECT key, text, sum(calls) AS calls, bool_or(jsonb_typeof(part.item) = 'array') AS is_list,
           row_number() OVER (PARTITION BY key ORDER BY sum(calls) DESC, text COLLATE "C") AS rank
    FROM (SELECT key, item::jsonb AS item, calls FROM grouped) AS part
    CROSS JOIN LATERAL unnest(:item_texts) AS texts (text)
    GROUP BY 1, 2
)
SELECT key, sum(calls)::bigint AS calls, count(*) AS distinct_values, bool_or(is_list) AS is_list,
       array_agg(text ORDER BY rank) FILTER (WHERE rank <= :value_count AND length(text) <= :value_chars) AS top_values
FROM counted
GROUP BY key
ORDER BY calls DESC, key
LIMIT :count;
