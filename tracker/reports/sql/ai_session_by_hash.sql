-- Which session_id has this hash and this beginning?
\ir defaults.sql
\if :{?hash} \else \set hash 0 \endif
\if :{?beginning} \else \set beginning '\'\'' \endif
SELECT session_id::text AS session_id
FROM token_usage AS calls
WHERE hashtextextended(session_id, 0) = CAST(:hash AS bigint)
  AND starts_with(session_id::text, CAST(:beginning AS text))
LIMIT 1;
