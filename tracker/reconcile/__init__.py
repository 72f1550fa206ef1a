"""A provider's bill against our own sums, day by day and model by model."""
