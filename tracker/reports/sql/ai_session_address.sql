-- Which hash does the address of a long session_id contain?
\ir defaults.sql
\if :{?session} \else \set session '\'\'' \endif
SELECT hashtextextended(CAST(:session AS text), 0) AS hash;
