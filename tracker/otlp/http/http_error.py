"""The answer to a request that can't be accepted."""

from __future__ import annotations


class RefusalError(Exception):
    """An HTTP status, one sentence for the sender's log, and the headers that belong to the status."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def too_large(what: str) -> RefusalError:
    """The answer to a body above a limit. Exporters don't send it again: its data is lost."""
    return RefusalError(413, f"{what} Send smaller batches.")
