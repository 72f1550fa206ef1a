"""The query of recorded usage by day, which runs unchanged in psql."""
