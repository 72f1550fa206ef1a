"""The values of GET /metrics: counters that never fall, gauges of the database, and their OpenMetrics text."""
