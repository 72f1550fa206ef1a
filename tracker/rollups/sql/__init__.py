"""What the rollups are made of: one `.sql` file a question, which opens with it and runs as it is in psql."""
