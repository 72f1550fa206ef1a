"""The question about our side, which runs as it is in psql."""
