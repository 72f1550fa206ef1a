"""The query of the counters; it starts with its question and runs unchanged in psql."""
