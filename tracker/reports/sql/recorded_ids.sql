-- How many of these records are in the table, and how many distinct ids do they have?
-- In psql, first: \set ids '\'{<an id>, <another>}\''
\if :{?ids} \else \set ids '\'{}\'' \endif
SELECT count(*) AS records, count(DISTINCT id) AS ids
FROM token_usage AS calls
WHERE id = ANY (CAST(:ids AS uuid[]));
