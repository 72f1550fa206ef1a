"""Properties: the top-level keys of `metadata` as dimensions: their names, their values, and those of recent calls."""
