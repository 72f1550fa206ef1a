"""The questions about budgets, each a file that opens with it and runs as it is in psql."""
