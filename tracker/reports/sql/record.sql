-- How does one record look in the table?
-- In psql, first: \set id '\'<the id>\''
\ir defaults.sql
SELECT *
FROM token_usage AS calls
WHERE id = CAST(:id AS uuid);
