"""A real headless browser."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

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


def browse(tmp_path: Path, page: Path, *options: str) -> bytes:
    """Let a browser look at a page; returns what it writes to stdout."""
    words = [need("chromium"), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]
    return subprocess.run(words, check=True, capture_output=True, timeout=120).stdout


_MEASURE = """<pre id=measured></pre><script>
const wide = [...document.querySelectorAll('body *')].filter(
  one => one.getBoundingClientRect().right > innerWidth + 1
    || one.clientWidth && one.scrollWidth > one.clientWidth + 1);
document.getElementById('measured').textContent = JSON.stringify({
  width: innerWidth, needed: document.documentElement.scrollWidth,
  wide: wide.map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 60)),
  smallest: Math.min(...[...document.querySelectorAll('body *')].filter(one => one.textContent)
    .map(one => parseFloat(getComputedStyle(one).fontSize)))});
</script>"""


def measure(tmp_path: Path, page: Path, width: int) -> dict[str, Any]:
    """What does not fit a window of ``width`` pixels, and how small the smallest text is, as the browser lays it out.

    The page's own policy forbids scripts: a copy without it is measured.
    """
    copy = tmp_path / "measured.html"
    text = re.sub("<meta http-equiv[^>]*>", "", page.read_text("utf-8"))
    copy.write_text(text.replace("</body>", _MEASURE + "</body>"), "utf-8")
    drawn = browse(tmp_path, copy, f"--window-size={width},900", "--dump-dom").decode()
    found = re.search("<pre id=.measured.>(.*?)</pre>", drawn, re.DOTALL)
    assert found, drawn[-500:]
    measured: dict[str, Any] = json.loads(unescape(found[1]))
    return measured
