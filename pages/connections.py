"""Connections: do we run out, and who holds them?"""

from __future__ import annotations

import streamlit as st
from _connections_parts import applications, client_pools, limited_view, slot_bar, slot_figures, states, verdict
from _parts import card, head
from _range import now

from tracker.reports import connections, source


def main() -> None:
    reader = source.reader()
    head("Connections", "Do we run out, and who holds them?", now())
    held = connections.sessions(reader)
    slots = connections.slots(reader, held)
    verdict(slots, held)
    slot_figures(slots, held)
    with card("Slots of the whole server"):
        slot_bar(slots)
    left, right = st.columns([2, 3])
    with left, card("By state", "without the one that asks"):
        states(connections.by_state(held))
    with right, card("By application", "of all databases of this server"):
        applications(connections.by_application(held))
    with card("Connections of this dashboard"):
        client_pools(reader)
    limited_view(slots)


main()
