-- Which buckets does a question have in psql when none was set? (The last two days; of the hours' parts, today's hours.)
\if :{?buckets} \else \set buckets 'ARRAY(SELECT generate_series(date_trunc(\'day\', now(), \'UTC\') - interval \'1 day\', now(), \'15 min\'))' \endif
\if :{?wholes} \else \set wholes 'ARRAY[date_trunc(\'day\', now(), \'UTC\')]' \endif
\if :{?minutes} \else \set minutes 1440 \endif
\if :{?part_minutes} \else \set part_minutes 60 \endif
\if :{?generation} \else \set generation 0 \endif
\if :{?late_s} \else \set late_s 10 \endif
