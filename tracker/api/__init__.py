"""The HTTP routes for other programs: metrics and usage. They read through `tracker.reports` and check API tokens."""
