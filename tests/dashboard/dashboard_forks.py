"""Dashboard processes that start quickly: each is a fork of a process that has imported the packages."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from unittest import mock

ROOT = Path(__file__).parent.parent.parent


class DashboardFork:
    """A process that runs `streamlit` with these arguments; the methods are those of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        reader, writer = multiprocessing.Pipe(duplex=False)
        target = (list(arguments), dict(environment), writer)
        self._process = _fork_server().Process(target=_run_streamlit, args=target, daemon=True)
        # A new process imports the main module first, and this one's can be a page, which AppTest runs.
        with mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()
        writer.close()
        self.stderr = os.fdopen(os.dup(reader.fileno()), "rb")
        reader.close()

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, timeout: float) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"The dashboard did not end within {timeout} s.")


@functools.cache
def _fork_server() -> ForkServerContext:
    """The context of the fork server, which starts with the first dashboard and ends with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashboard_preload"])
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        forkserver.ensure_running()
    return context


def _run_streamlit(arguments: list[str], environment: dict[str, str], log: Connection) -> None:
    """Run `python -m streamlit` in this process, with the environment and the module path of a new process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    time.tzset()
    tempfile.tempdir = None  # the fork server's own
    tests = str(ROOT / "tests")
    path = [entry for entry in sys.path if entry and not entry.startswith(tests)]
    sys.path[:] = list(dict.fromkeys((str(ROOT), *environment.get("PYTHONPATH", "").split(os.pathsep), *path)))
    os.dup2(log.fileno(), 2)
    log.close()
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    from streamlit.web.cli import main

    sys.argv = ["streamlit", *arguments]
    main(prog_name="streamlit")


def _end_with_parent() -> None:
    """End this process when the tests' process ends without terminating it."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
