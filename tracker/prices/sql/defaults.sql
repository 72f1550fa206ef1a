-- Which calls does a query have in psql if no parameter is set? (All.)
\if :{?include_priced} \else \set include_priced true \endif
\if :{?explained} \else \set explained true \endif
\if :{?zero_costs} \else \set zero_costs false \endif
\if :{?zero} \else \set zero false \endif
\if :{?model} \else \set model NULL \endif
\if :{?prefix} \else \set prefix NULL \endif
\if :{?provider} \else \set provider NULL \endif
\if :{?max_cost} \else \set max_cost 1e9 \endif
\if :{?count} \else \set count 12 \endif
\if :{?time} \else \set time '\'-infinity\'' \endif
\if :{?id} \else \set id '\'00000000-0000-0000-0000-000000000000\'' \endif
