"""Rollups: precomputed totals of token_usage, so that pages don't read millions of rows. Design: docs/rollups.md."""
