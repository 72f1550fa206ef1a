-- Which SQL expressions do several queries use?
-- psql interpolates these variables; `tracker.database.sql_file` does the same.
-- An application that inserts its own rows can omit the total.
\set call_tokens 'coalesce(total_tokens, input_tokens::bigint + output_tokens)'
-- A larger amount or NaN counts as no cost.
\set has_cost '(abs(cost::numeric) <= 1e9)'
-- The bin of a histogram with 8 bins per octave. Bin -32767 means: no connection time.
\set duration_bin 'floor(8 / ln(2::float8) * ln(least(greatest(processing_time::float8, 0.001), 1e12)))::smallint'
\set first_token_bin 'floor(8 / ln(2::float8) * ln(least(greatest(time_to_first_token_ms::float8, 0.001), 1e12)))::smallint'
\set connection_bin 'coalesce(floor(8 / ln(2::float8) * ln(least(greatest(connection_ms::float8, 0.001), 1e12))), -32767)::smallint'
-- The texts of the property property.key of a call, each once; none: it is not set. A list of scalars has one text for
-- each element. An object, or a list that contains one, has none. The type of the column can be json.
-- The first test is fast, because most values are scalars; the text of a scalar can begin with a bracket, too.
\set property_texts '(CASE WHEN left(metadata ->> property.key, 1) IN (''['', ''{'') THEN (SELECT :item_texts FROM (VALUES (to_jsonb(metadata -> property.key))) AS part (item)) ELSE array_remove(ARRAY[metadata ->> property.key], NULL) END)'
-- The same for the JSON value part.item.
\set item_texts '(CASE jsonb_typeof(part.item) WHEN ''array'' THEN ARRAY(SELECT DISTINCT tag FROM jsonb_array_elements_text(part.item) AS tags (tag) WHERE tag IS NOT NULL AND NOT EXISTS (SELECT FROM jsonb_array_elements(part.item) AS nested (item) WHERE jsonb_typeof(nested.item) IN (''array'', ''object''))) WHEN ''object'' THEN ''{}'' ELSE array_remove(ARRAY[part.item #>> ''{}''], NULL) END)'
-- Whether a call lacks the value of the pair (property.key, property.value); the value NULL means not set.
\set property_differs '((CASE WHEN property.value IS NULL THEN :property_texts = ''{}'' ELSE property.value = ANY (:property_texts) END) IS NOT TRUE)'
-- A sample row: its id is in the range of tracker/database/sample_ids.py, or an earlier version created it.
\set id_is_sample '(id >= ''f3a90917-f800-87fc-8000-000000000000'' AND id <= ''f3a90917-f800-87fc-bfff-ffffffffffff'')'
\set call_is_sample '(:id_is_sample OR (deployment = ''sample'' AND platform = ''vercel'' AND instance_id IS NULL AND delivery IS NULL AND substr(id::text, 15, 1) = ''7'' AND metadata::text = ''{"sample": true}'') IS TRUE)'
-- The rows of the dirty buckets. OFFSET 0 keeps the subquery per bucket. For a range join, the planner reads the whole
-- table for each bucket.
\set bucket_calls 'unnest(CAST(:buckets AS timestamptz[])) AS dirty (bucket) CROSS JOIN LATERAL (SELECT * FROM token_usage AS calls WHERE created_at >= dirty.bucket AND created_at < dirty.bucket + interval ''15 minutes'' OFFSET 0) AS calls'
-- The deployment of a call, for the table of first calls: longer names would not fit into its index.
\set deployment_name 'left(deployment::text, 200)'
\set deployment_environment 'left(coalesce(environment::text, ''''), 200)'
\set is_of_deployment '(btrim(deployment::text) <> '''' AND is_test IS NOT TRUE AND NOT :call_is_sample)'
