-- Which row does a record have?
-- In psql, first: \set id '\'<the id>\''
\ir defaults.sql
SELECT *
FROM token_usage AS calls
WHERE id = CAST(:id AS uuid);
