"""The queries of repricing: each SQL file starts with its question and runs unchanged in psql."""
