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
\ir expressions.sql
