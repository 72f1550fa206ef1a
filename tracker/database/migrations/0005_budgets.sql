-- Limits of tokens or USD per day or month, and the budget alerts that were sent.
CREATE TABLE IF NOT EXISTS token_tracker_budgets (
    name text PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('everybody', 'user', 'model', 'operation', 'property')),
    subject text CHECK ((subject IS NULL) = (scope = 'everybody')),
    period text NOT NULL CHECK (period IN ('day', 'month')),
    measure text NOT NULL CHECK (measure IN ('tokens', 'usd')),
    amount numeric NOT NULL CHECK (amount > 0),
    alert_percent smallint NOT NULL DEFAULT 80 CHECK (alert_percent BETWEEN 1 AND 100),
    timezone text NOT NULL DEFAULT 'UTC',
    created_at timestamptz NOT NULL DEFAULT now(),
    is_sample boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE token_tracker_budgets IS 'How much may be used in a day or a month of its time zone';
COMMENT ON COLUMN token_tracker_budgets.subject IS 'Which user, model or operation';
-- The process whose insert adds the row sends the alert, so that several processes send it once.
CREATE TABLE IF NOT EXISTS token_tracker_budget_alerts (
    budget text NOT NULL,
    period text NOT NULL,
    window_start timestamptz NOT NULL,
    percent smallint NOT NULL,
    amount numeric NOT NULL,
    used numeric NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (budget, period, window_start, percent, amount)
);
COMMENT ON TABLE token_tracker_budget_alerts IS 'Alerts about budgets, at most one a window and threshold';
