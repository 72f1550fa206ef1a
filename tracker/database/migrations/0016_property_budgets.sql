-- A budget can apply to the calls with the values of some properties (keys of metadata).
ALTER TABLE token_tracker_budgets DROP CONSTRAINT IF EXISTS token_tracker_budgets_scope_check;
ALTER TABLE token_tracker_budgets ADD CONSTRAINT token_tracker_budgets_scope_check
    CHECK (scope IN ('everybody', 'user', 'model', 'operation', 'property'));
COMMENT ON COLUMN token_tracker_budgets.subject IS 'Which user, model or operation; for properties a JSON list of pairs';
