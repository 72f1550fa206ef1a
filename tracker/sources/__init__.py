"""The documented names of the callbacks; the code is in `tracker.providers.frameworks`."""
