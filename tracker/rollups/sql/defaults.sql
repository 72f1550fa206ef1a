-- Which buckets does a query have in psql if none are set? (15-minute buckets of the last two days; today as larger bucket.)
\if :{?buckets} \else \set buckets 'ARRAY(SELECT generate_series(date_trunc(\'day\', now(), \'UTC\') - interval \'1 day\', now(), \'15 min\'))' \endif
\if :{?larger_buckets} \else \set larger_buckets 'ARRAY[date_trunc(\'day\', now(), \'UTC\')]' \endif
\if :{?minutes} \else \set minutes 1440 \endif
\if :{?source_minutes} \else \set source_minutes 60 \endif
\if :{?generation} \else \set generation 0 \endif
\if :{?late_s} \else \set late_s 10 \endif
\if :{?names} \else \set names '\'{token_tracker_rollup_state}\'' \endif
\if :{?usage} \else \set usage '\'token_usage\'' \endif
\if :{?schema} \else \set schema 'current_schema()' \endif
\if :{?properties} \else \set properties '\'{team}\'' \endif
\if :{?max_values} \else \set max_values 1000 \endif
\if :{?max_value_length} \else \set max_value_length 1000 \endif
\ir expressions.sql
-- Whether a bucket stores a mark instead of its values, and the totals of a row; a mark has only the number of calls.
\set has_too_many_values '(count(DISTINCT value) > :max_values OR coalesce(max(length(value)), 0) > :max_value_length)'
\set property_totals 'coalesce(sum(calls) FILTER (WHERE NOT is_marked), 0)::bigint AS calls, sum(calls_once)::bigint AS calls_once, coalesce(sum(failed_calls) FILTER (WHERE NOT is_marked), 0)::bigint AS failed_calls, coalesce(sum(input_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS input_tokens, coalesce(sum(output_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS output_tokens, coalesce(sum(total_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS total_tokens, coalesce(sum(cache_read_input_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS cache_read_input_tokens, coalesce(sum(cache_write_input_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS cache_write_input_tokens, coalesce(sum(reasoning_output_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS reasoning_output_tokens, sum(cost) FILTER (WHERE NOT is_marked) AS cost, coalesce(sum(unpriced_calls) FILTER (WHERE NOT is_marked), 0)::bigint AS unpriced_calls, coalesce(sum(unpriced_tokens) FILTER (WHERE NOT is_marked), 0)::bigint AS unpriced_tokens, coalesce(sum(sample_calls) FILTER (WHERE NOT is_marked), 0)::bigint AS sample_calls'
