"""The sections of the page Prices and budgets."""
