"""The rollup queries: one `.sql` file per query. Each file starts with the question it answers and runs in psql."""
