"""What token_usage adds up to, kept so that no page has to read millions of rows: docs/rollups.md has the design."""
