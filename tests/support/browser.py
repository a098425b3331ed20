"""A real headless browser."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.tools import need

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def browse(tmp_path: Path, page: Path, *options: str) -> None:
    words = [need("chromium"), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
