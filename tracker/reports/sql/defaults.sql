-- Which range and filters does a query have in psql if none are set? (The last 30 days, nothing filtered.)
\if :{?start} \else \set start '(date_trunc(\'day\', now(), \'UTC\') - interval \'29 days\')' \endif
\if :{?end} \else \set end 'now()' \endif
\if :{?include_tests} \else \set include_tests false \endif
\if :{?model} \else \set model NULL \endif
\if :{?provider} \else \set provider NULL \endif
\if :{?operation} \else \set operation NULL \endif
\if :{?user} \else \set user NULL \endif
\if :{?environment} \else \set environment NULL \endif
\if :{?property_keys} \else \set property_keys NULL \endif
\if :{?property_values} \else \set property_values NULL \endif
\if :{?intervals} \else \set intervals NULL \endif
\if :{?count} \else \set count 12 \endif
\if :{?by} \else \set by '\'{step,model}\'' \endif
\if :{?users} \else \set users '\'{anonymous}\'' \endif
\if :{?late_s} \else \set late_s 10 \endif
\if :{?id} \else \set id '\'00000000-0000-7000-8000-000000000000\'' \endif
-- The starts of the segments, and the step of each.
\if :{?edges} \else \set edges 'ARRAY(SELECT generate_series(date_trunc(\'day\', now(), \'UTC\') - interval \'29 days\', now(), \'1 day\'))' \endif
\if :{?edge_steps} \else \set edge_steps 'ARRAY(SELECT generate_series(0, 365))' \endif
-- The segments that are read from rows: the longest one, and the others.
\if :{?rows_start} \else \set rows_start :start \endif
\if :{?rows_until} \else \set rows_until :end \endif
\if :{?rows_starts} \else \set rows_starts '\'{}\'' \endif
\if :{?rows_untils} \else \set rows_untils '\'{}\'' \endif
\if :{?rows_steps} \else \set rows_steps '\'{}\'' \endif
-- The segments that are read from rollups: bucket size (15, 60 or 1440 minutes); for user rollups the slots of a day.
\if :{?minutes} \else \set minutes '\'{}\'' \endif
\if :{?starts} \else \set starts '\'{}\'' \endif
\if :{?untils} \else \set untils '\'{}\'' \endif
\if :{?steps} \else \set steps '\'{}\'' \endif
\if :{?generations} \else \set generations '\'{}\'' \endif
\if :{?first_slots} \else \set first_slots '\'{}\'' \endif
\if :{?until_slots} \else \set until_slots '\'{}\'' \endif
\ir ../../rollups/sql/expressions.sql
-- The segments that are read from rollups, from the users' rollups, and from rows.
\set rollup_segments 'unnest(CAST(:minutes AS smallint[]), CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:steps AS integer[]), CAST(:generations AS integer[])) AS segment (minutes, start, until, step, generation)'
\set user_segments 'unnest(CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:first_slots AS smallint[]), CAST(:until_slots AS smallint[]), CAST(:steps AS integer[]), CAST(:generations AS integer[])) AS segment (start, until, first, until_slot, step, generation)'
\set row_segments 'unnest(CAST(:rows_starts AS timestamptz[]), CAST(:rows_untils AS timestamptz[]), CAST(:rows_steps AS integer[])) AS segment (start, until, step)'
\set is_in_segment 'rollup.minutes = segment.minutes AND bucket >= segment.start AND bucket < segment.until AND rollup.generation >= segment.generation'
-- The rows of the segments. OFFSET 0 keeps the subquery per segment.
\set segment_calls ':row_segments CROSS JOIN LATERAL (SELECT * FROM token_usage AS calls WHERE created_at >= segment.start AND created_at < segment.until OFFSET 0) AS calls'
-- The rows that the filters select, and the step of a row.
\set matches_columns '(:include_tests OR is_test IS NOT TRUE) AND (:model IS NULL OR model = :model) AND (:provider IS NULL OR provider = :provider) AND (:operation IS NULL OR operation = :operation) AND (:user IS NULL OR user_id = :user) AND (:environment IS NULL OR environment = :environment) AND (CAST(:intervals AS timestamptz[]) IS NULL OR width_bucket(created_at, CAST(:intervals AS timestamptz[])) % 2 = 1)'
-- All pairs of key and value must match; the value NULL matches a call whose property is not set. The first pair needs no
-- subquery, unless its value is a list or an object.
\set first_key '(CAST(:property_keys AS text[]))[1]'
\set first_value '(CAST(:property_values AS text[]))[1]'
\set first_property_matches '(CASE WHEN left(metadata ->> :first_key, 1) IN (''['', ''{'') THEN NOT EXISTS (SELECT FROM (VALUES (:first_key, :first_value)) AS property (key, value) WHERE :property_differs) WHEN :first_value IS NULL THEN metadata ->> :first_key IS NULL ELSE metadata ->> :first_key = :first_value END)'
\set matches_properties '(CAST(:property_keys AS text[]) IS NULL OR (:first_property_matches AND (cardinality(CAST(:property_keys AS text[])) = 1 OR NOT EXISTS (SELECT FROM unnest(CAST(:property_keys AS text[]), CAST(:property_values AS text[])) AS property (key, value) WHERE :property_differs))) IS TRUE)'
\set matches_filters ':matches_columns AND :matches_properties'
\set call_step '(CAST(:edge_steps AS integer[]))[width_bucket(created_at, CAST(:edges AS timestamptz[]))]'
-- The Explorer's measures of a group of calls.
\set explore_sums 'count(*) AS calls, count(*) FILTER (WHERE success IS FALSE) AS failed_calls, sum(:call_tokens)::bigint AS total_tokens, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens, sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens, sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens, sum(cost::numeric) FILTER (WHERE :has_cost)::float8 AS cost_usd, count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls'
-- The values of the columns named by :rows_by and :columns_by.
\set row_value 'CASE CAST(:rows_by AS text) WHEN ''model'' THEN model WHEN ''provider'' THEN provider WHEN ''operation'' THEN operation WHEN ''user'' THEN user_id WHEN ''environment'' THEN environment WHEN ''platform'' THEN platform WHEN ''deployment'' THEN deployment WHEN ''step'' THEN CAST(:call_step AS text) END'
\set column_value 'CASE CAST(:columns_by AS text) WHEN ''model'' THEN model WHEN ''provider'' THEN provider WHEN ''operation'' THEN operation WHEN ''user'' THEN user_id WHEN ''environment'' THEN environment WHEN ''platform'' THEN platform WHEN ''deployment'' THEN deployment WHEN ''step'' THEN CAST(:call_step AS text) END'
-- The same as JSON in text, for the properties :row_key and :column_key; as jsonb, 1 and 1.0 would be one group. Only the
-- groups of calls are divided into texts, not each call.
\set row_item 'CASE WHEN CAST(:row_key AS text) IS NULL THEN to_jsonb(:row_value)::text ELSE (metadata -> CAST(:row_key AS text))::text END'
\set column_item 'CASE WHEN CAST(:column_key AS text) IS NULL THEN to_jsonb(:column_value)::text ELSE (metadata -> CAST(:column_key AS text))::text END'
\set row_names '(SELECT coalesce(nullif(:item_texts, ''{}''), ARRAY[NULL]) FROM (VALUES (row_item::jsonb)) AS part (item))'
\set column_names '(SELECT coalesce(nullif(:item_texts, ''{}''), ARRAY[NULL]) FROM (VALUES (column_item::jsonb)) AS part (item))'
-- The groups by text: a group with one row and one column needs no unnest.
\set named_groups '(SELECT row_names[1] AS row_name, column_names[1] AS column_name, false AS is_repeated, listed.* FROM listed WHERE cardinality(row_names) = 1 AND cardinality(column_names) = 1 UNION ALL SELECT row_name, column_name, true, listed.* FROM listed CROSS JOIN LATERAL unnest(row_names) AS row_part (row_name) CROSS JOIN LATERAL unnest(column_names) AS column_part (column_name) WHERE cardinality(row_names) > 1 OR cardinality(column_names) > 1) AS named'
-- The calls of one AI session; the hash has an index.
\set is_of_session '(hashtextextended(session_id, 0) = hashtextextended(CAST(:session AS text), 0) AND session_id = CAST(:session AS text))'
-- The dimensions of usage rows that are columns, those in :by, and their measures.
\set usage_columns 'CASE WHEN ''step'' = ANY (CAST(:by AS text[])) THEN :call_step END AS step, CASE WHEN ''model'' = ANY (CAST(:by AS text[])) THEN model END AS model, CASE WHEN ''provider'' = ANY (CAST(:by AS text[])) THEN provider END AS provider, CASE WHEN ''operation'' = ANY (CAST(:by AS text[])) THEN operation END AS operation, CASE WHEN ''user'' = ANY (CAST(:by AS text[])) THEN user_id END AS "user", CASE WHEN ''environment'' = ANY (CAST(:by AS text[])) THEN environment END AS environment, CASE WHEN ''platform'' = ANY (CAST(:by AS text[])) THEN platform END AS platform, CASE WHEN ''deployment'' = ANY (CAST(:by AS text[])) THEN deployment END AS deployment, CASE WHEN ''session'' = ANY (CAST(:by AS text[])) THEN session_id END AS session'
\set usage_sums 'count(*) AS calls, count(*) FILTER (WHERE success IS FALSE) AS failed_calls, coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens, coalesce(sum(:call_tokens), 0)::bigint AS total_tokens, coalesce(sum(cache_read_input_tokens), 0)::bigint AS cache_read_input_tokens, coalesce(sum(cache_write_input_tokens), 0)::bigint AS cache_write_input_tokens, coalesce(sum(reasoning_output_tokens), 0)::bigint AS reasoning_output_tokens, sum(cost::numeric) FILTER (WHERE :has_cost) AS cost_usd, count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls'
