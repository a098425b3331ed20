"""What a machine lacks skips the tests that need it; where CI is set, it fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.program import PROJECT

LACKING = """
from support import tools

def test_a_program():
    tools._SEARCH_PATH = ""
    tools.need("mosquitto")

def test_a_module():
    tools.need_module("no_such_module")
"""
LACKING_AT_IMPORT = "from support.tools import need_module\nneed_module('no_such_module')\ndef test_it(): pass\n"


@pytest.mark.parametrize(
    ("text", "is_ci", "code", "said"),
    [
        (LACKING, False, 0, "2 skipped"),
        (LACKING, True, 1, "2 failed"),
        (LACKING_AT_IMPORT, False, 5, "1 skipped"),
        (LACKING_AT_IMPORT, True, 2, "1 error"),
    ],
    ids=["in a test", "in a test, CI", "at import", "at import, CI"],
)
def test_a_missing_tool(tmp_path: Path, text: str, is_ci: bool, code: int, said: str) -> None:
    (tmp_path / "test_lacking.py").write_text(text)
    env = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        env={**env, "PYTHONPATH": str(PROJECT / "tests"), **({"CI": "1"} if is_ci else {})},
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout
