"""The display currency: its settings, conversion of single costs, and the note about its rate."""
