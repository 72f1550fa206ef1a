-- Rollups separate sample rows, so that budgets and alerts can exclude them; a budget can be a sample, too.
-- A refresh that runs at this time ends first, so that no bucket is missed.
SELECT one FROM token_tracker_rollup_state FOR UPDATE;
ALTER TABLE token_tracker_usage_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_unpriced_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_latency_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_recording_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_user_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_user_day_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
ALTER TABLE token_tracker_budgets ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
-- The next refresh separates the sample rows of an earlier version. Totals of pruned rows stay as they are: they don't show
-- which rows an app marked as samples itself.
INSERT INTO token_tracker_rollup_touched
SELECT bucket FROM token_tracker_usage_rollup WHERE minutes = 15 AND generation = 0 AND sample_calls > 0;
