"""The log of changes of prices and budgets: who changed what, and when."""
