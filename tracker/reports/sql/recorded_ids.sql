-- Which of these records can be read, and how often each?
-- In psql, first: \set ids '\'{<an id>, <another>}\''
\if :{?ids} \else \set ids '\'{}\'' \endif
SELECT count(*) AS records, count(DISTINCT id) AS ids
FROM token_usage AS calls
WHERE id = ANY (CAST(:ids AS uuid[]));
