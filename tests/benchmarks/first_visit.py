"""Compares the first visit of the Overview with that of an empty Streamlit app with three Plotly charts.

Both are loaded at 1.6 Mbit/s by a browser without a cache. `tests.benchmarks.pages` runs it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from dashboard_support import READY, Server, open_browser, start_command
from playwright.sync_api import Browser

ROUNDS = 3
CHARTS = 3
MAX_RATIO = 1.3
THROTTLE = {"offline": False, "latency": 40, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
"""Milliseconds and bytes per second: 1.6 Mbit/s."""
DRAWN_WITHIN_S = 120
DRAWN = """least => {
    const charts = [...document.querySelectorAll('.js-plotly-plot')]
    return charts.length >= least && charts.every(chart => chart.querySelector('.main-svg'))
}"""
EMPTY_APP = """
import plotly.graph_objects as go
import streamlit as st
for number in range(3):
    st.plotly_chart(go.Figure({"data": [{"type": "bar", "y": list(range(30))}]}), key=f"chart {number}")
"""
Visit = tuple[float, int, float]
"""Bytes, requests, and seconds until the last chart is drawn."""


@contextmanager
def empty_app() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="tracker-empty-") as directory:
        script = Path(directory) / "empty.py"
        script.write_text(EMPTY_APP, encoding="utf-8")
        server = start_command({"_SCRIPT": str(script)})
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait(timeout=30)


def visit(browser: Browser, url: str) -> Visit:
    context = browser.new_context(timezone_id="Asia/Seoul", locale="en-US")
    page = context.new_page()
    protocol = context.new_cdp_session(page)
    size_bytes: list[float] = []
    requests: list[str] = []
    protocol.on("Network.loadingFinished", lambda event: size_bytes.append(event["encodedDataLength"]))
    protocol.on("Network.requestWillBeSent", lambda event: requests.append(event["request"]["url"]))
    protocol.send("Network.enable")
    protocol.send("Network.emulateNetworkConditions", THROTTLE)
    began = time.perf_counter()
    page.goto(url, timeout=DRAWN_WITHIN_S * 1000)
    page.wait_for_selector(READY, timeout=DRAWN_WITHIN_S * 1000)
    while not page.evaluate(DRAWN, CHARTS):
        if time.perf_counter() - began > DRAWN_WITHIN_S:
            raise SystemExit(f"{url} has fewer than {CHARTS} Plotly charts")
        page.wait_for_timeout(50)
    drawn_s = time.perf_counter() - began
    context.close()
    return sum(size_bytes), sum(not url.startswith("data:") for url in requests), drawn_s


def compare(served: Server) -> list[list[str]]:
    """The rows of both apps and their ratio, medians of interleaved visits."""
    visits: dict[str, list[Visit]] = {"Overview": [], "empty app, three charts": []}
    with empty_app() as empty, open_browser() as browser:
        for _ in range(ROUNDS):
            for name, url in zip(visits, (served.url, empty.url), strict=True):
                visits[name].append(visit(browser, url))
    medians = [[median(values) for values in zip(*measured, strict=True)] for measured in visits.values()]
    lines = [
        [name, f"{size / 1e6:.2f}", f"{requests:.0f}", f"{drawn_s:.1f}"]
        for name, (size, requests, drawn_s) in zip(visits, medians, strict=True)
    ]
    ratios = [ours / theirs for ours, theirs in zip(*medians, strict=True)]
    return [*lines, [f"ratio (time: at most {MAX_RATIO})", *(f"{ratio:.2f}" for ratio in ratios)]]
