"""The queries of budgets: each SQL file starts with its question and runs unchanged in psql."""
