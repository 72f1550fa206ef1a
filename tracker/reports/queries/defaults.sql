-- Which range and filters does a question have in psql when none was set? (The last 30 days, nothing filtered.)
\if :{?start} \else \set start '(now() - interval \'30 days\')' \endif
\if :{?end} \else \set end 'now()' \endif
\if :{?timezone} \else \set timezone '\'UTC\'' \endif
\if :{?bucket} \else \set bucket '\'day\'' \endif
\if :{?include_tests} \else \set include_tests false \endif
\if :{?model} \else \set model NULL \endif
\if :{?provider} \else \set provider NULL \endif
\if :{?operation} \else \set operation NULL \endif
\if :{?user} \else \set user NULL \endif
\if :{?environment} \else \set environment NULL \endif
\if :{?count} \else \set count 12 \endif
\if :{?late_s} \else \set late_s 10 \endif
\if :{?id} \else \set id '\'00000000-0000-7000-8000-000000000000\'' \endif
