"""SQL that records the sequence numbers of deliberately deleted rows in the loss ledger, so that none is missing."""

from __future__ import annotations

from tracker.database.sample_ids import IS_SAMPLE_ID

LEDGER = "token_tracker_ledger"
RETURNED = "id, instance_id, sequence, environment, deployment"


def ledger_insert_cte(ledger: str) -> str:
    """CTEs that insert the sequence numbers of the CTE `gone` (rows of `RETURNED`) as ranges of `%(kind)s`."""
    return (
        " numbered AS (SELECT instance_id, sequence, environment, deployment,"  # noqa: S608  our own names
        " sequence - row_number() OVER (PARTITION BY instance_id ORDER BY sequence) AS run"
        f" FROM gone WHERE instance_id IS NOT NULL AND sequence IS NOT NULL AND NOT {IS_SAMPLE_ID}),"
        f" noted AS (INSERT INTO {ledger} (instance_id, kind, first_sequence, last_sequence, environment, deployment)"
        " SELECT instance_id, %(kind)s, min(sequence), max(sequence), min(environment), min(deployment)"
        " FROM numbered GROUP BY instance_id, run ON CONFLICT DO NOTHING)"
    )
