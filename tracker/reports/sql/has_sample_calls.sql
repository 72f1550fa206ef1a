-- Does the table contain sample calls?
\ir ../../rollups/sql/expressions.sql
SELECT EXISTS (SELECT FROM token_usage AS calls WHERE :id_is_sample) AS has_sample_calls;
