"""Budgets: limits of tokens or USD per day or month, their progress, and alerts that are sent once."""
