-- Which of these AI sessions have calls before the start of the range, or after its end, and how many?
-- Only the years that Python supports.
-- In psql, first: \set sessions 'ARRAY[\'<a session_id>\']'
\ir defaults.sql
\if :{?sessions} \else \set sessions '\'{}\'' \endif
SELECT session_id::text AS session_id,
       count(*) FILTER (WHERE created_at < :start) AS calls_before,
       count(*) FILTER (WHERE created_at >= :end) AS calls_after,
       min(created_at) AS first_at, max(created_at) AS last_at
FROM token_usage AS calls
WHERE hashtextextended(session_id, 0)
        = ANY (ARRAY(SELECT hashtextextended(name, 0) FROM unnest(CAST(:sessions AS text[])) AS names (name)))
  AND session_id = ANY (CAST(:sessions AS text[]))
  AND NOT (created_at >= :start AND created_at < :end)
  AND created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z'
  AND (:include_tests OR is_test IS NOT TRUE)
GROUP BY 1;
