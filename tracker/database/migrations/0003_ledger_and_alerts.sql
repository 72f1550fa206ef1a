-- The loss ledger, for sequence numbers without a row, and the alerts that were sent.
CREATE TABLE IF NOT EXISTS token_tracker_ledger (
    instance_id uuid NOT NULL,
    kind text NOT NULL,
    first_sequence integer NOT NULL,
    last_sequence integer NOT NULL,
    environment text,
    deployment text,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (instance_id, kind, first_sequence, last_sequence)
);
COMMENT ON TABLE token_tracker_ledger IS 'Numbers of recording processes that have no row in token_usage, and why';
COMMENT ON COLUMN token_tracker_ledger.kind IS
    'duplicate, set_aside, removed, pruned, waiting, or closed: the process ended with last_sequence';
CREATE TABLE IF NOT EXISTS token_tracker_alerts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    raised_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    error text NOT NULL,
    record_id uuid,
    attempts integer,
    elapsed_ms real,
    outbox_depth integer,
    held_back integer NOT NULL DEFAULT 0,
    environment text,
    platform text,
    region text,
    deployment text
);
COMMENT ON TABLE token_tracker_alerts IS 'Alerts about recording; held_back counts those of the same reason that weren''t sent';
CREATE INDEX IF NOT EXISTS token_tracker_alerts_raised_at_idx ON token_tracker_alerts (raised_at);
