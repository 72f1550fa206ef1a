"""The queries of the debug report: each SQL file starts with its question and runs unchanged in psql."""
