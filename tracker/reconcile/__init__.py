"""Compares a provider's bill with the recorded sums, by day and model."""
