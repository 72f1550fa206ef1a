"""The error response to a request that can't be accepted."""

from __future__ import annotations


class RefusalError(Exception):
    """An HTTP status, a message for the sender's log, and the headers for the status."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def too_large(message: str) -> RefusalError:
    """The error for a body above a limit. Exporters don't send it again, so its data is lost."""
    return RefusalError(413, f"{message} Send smaller batches.")
