"""Browser tabs that tests share: a tab that is used again does not compile Streamlit's scripts again."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Browser, Error, Page

_Key = tuple[tuple[str, Any], ...]
_VIEWPORT = {"width": 1280, "height": 720}


class _Blank(BaseHTTPRequestHandler):
    """An empty page on 127.0.0.1: a tab that leaves the site, for instance to about:blank, gets a new process."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Tabs:
    """Tabs of one browser, by locale and time zone. A tab's cookies, storage and listeners end with the test."""

    def __init__(self, browser: Browser, blank_url: str) -> None:
        self.browser = browser
        self._blank_url = blank_url
        self._idle: defaultdict[_Key, list[Page]] = defaultdict(list)
        self._used: list[tuple[_Key, Page]] = []
        self._listeners: list[tuple[Page, str, Callable[..., Any]]] = []

    def open(self, *, viewport: Any = None, color_scheme: Any = "light", **context: Any) -> Page:
        """An empty tab with these options of a browser context."""
        key = tuple(sorted(context.items()))
        idle = self._idle[key]
        page = idle.pop() if idle else self.browser.new_context(**context).new_page()
        self._used.append((key, page))
        page.set_viewport_size(viewport or _VIEWPORT)
        page.emulate_media(color_scheme=color_scheme)
        return page

    def listen(self, page: Page, event: Any, handler: Callable[..., Any]) -> None:
        """Call a handler for each event of a tab until the test ends."""
        page.on(event, handler)
        self._listeners.append((page, event, handler))

    def release(self) -> None:
        """Make the tabs ready for the next test."""
        for page, event, handler in self._listeners:
            page.remove_listener(event, handler)
        for key, page in self._used:
            try:
                page.evaluate("localStorage.clear(); sessionStorage.clear()")
                page.mouse.move(0, 0)
                page.context.clear_cookies()
                for other in set(page.context.pages) - {page}:
                    other.close()
                page.goto(self._blank_url)
                self._idle[key].append(page)
            except Error:
                with suppress(Error):
                    page.context.close()
        pooled = {page.context for pages in self._idle.values() for page in pages}
        for context in set(self.browser.contexts) - pooled:
            context.close()
        self._listeners.clear()
        self._used.clear()


@contextmanager
def running_tabs(browser: Browser) -> Iterator[Tabs]:
    """The tabs of a browser, with the server of their empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        threading.Thread(target=server.serve_forever, name="blank-page", daemon=True).start()
        yield Tabs(browser, f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()


@contextmanager
def running_loop(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Playwright's event loop counts as running only in the block, so that other tests can run their own."""
    previous = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(previous)
