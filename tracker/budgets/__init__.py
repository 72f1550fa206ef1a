"""Budgets: how much may be used in a day or a month, how far that is, and who says so once."""
