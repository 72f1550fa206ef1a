"""AppTest with the installed packages scanned once per process instead of once per app."""

from __future__ import annotations

import functools

from streamlit.components.v2 import manifest_scanner


def share_component_scan() -> None:
    """Keep the result of Streamlit's search for components, which parses the metadata of each installed package."""
    if not hasattr(manifest_scanner.scan_component_manifests, "cache_info"):
        manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
