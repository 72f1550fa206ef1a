"""The outbox keeps records, dead letters and notes in their order until they are removed."""

from __future__ import annotations

import uuid

from recording_support import a_record

from tracker.recording.outbox.store import QueuedRecord


def test_records_wait_in_the_order_of_their_ids_until_they_are_removed(new_outbox):
    outbox = new_outbox()
    for number in (3, 1, 2):
        outbox.append(a_record(number))
    assert outbox.next_records(10) == [a_record(1), a_record(2), a_record(3)]
    outbox.remove([a_record(1)])
    assert outbox.next_records(1) == [a_record(2)]
    assert (outbox.depth().waiting, outbox.empty()) == (2, False)
    outbox.remove(outbox.next_records(10))
    assert outbox.empty()


def test_appending_the_same_record_twice_queues_it_once(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record())
    outbox.append(a_record())
    assert outbox.depth().waiting == 1


def test_the_depth_contains_the_time_of_the_oldest_record(new_outbox):
    outbox = new_outbox()
    assert outbox.depth().oldest_at is None
    outbox.append(a_record(2), queued_at=2000.0)
    outbox.append(a_record(1), queued_at=1000.0)
    assert outbox.depth() == (2, 0, 1000.0)
    assert outbox.depth(before=1500.0).waiting == 1


def test_a_dead_letter_is_not_delivered_and_can_be_queued_again(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(1))
    outbox.append(a_record(2))
    outbox.add_dead_letter(a_record(1), "The table refused the record.")
    assert outbox.next_records(10) == [a_record(2)]
    assert outbox.dead_letters() == [(a_record(1), "The table refused the record.")]
    assert outbox.depth()[:2] == (1, 1)
    assert outbox.requeue_dead_letters() == 1
    assert (outbox.next_records(10), outbox.dead_letters()) == ([a_record(1), a_record(2)], [])


def test_notes_wait_in_their_order(new_outbox):
    outbox = new_outbox()
    outbox.note("ledger", "1")
    outbox.note("alert", "2")
    assert not outbox.empty()
    assert [(kind, text) for _, kind, text in outbox.notes(10)] == [("ledger", "1"), ("alert", "2")]
    outbox.remove_notes([number for number, _, _ in outbox.notes(1)])
    assert [text for _, _, text in outbox.notes(10)] == ["2"]


def test_ids_of_any_origin_keep_their_records_apart(new_outbox):
    outbox = new_outbox()
    same = str(uuid.uuid4())
    outbox.append(QueuedRecord(same, "one", 1, "{}"))
    outbox.append(QueuedRecord(same, "two", 1, "{}"))
    outbox.append(QueuedRecord(same, "one", 2, "{}"))
    assert outbox.depth().waiting == 3
