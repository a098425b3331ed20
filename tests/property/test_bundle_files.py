"""Whatever a bundle's file says that somebody opens: its files as they were packed, or a documented error."""

from __future__ import annotations

import random
from pathlib import Path

from iotonboard.delivery.bundle import build_bundle
from iotonboard.delivery.bundle_reader import open_bundle
from iotonboard.errors import KeyUnavailableError, PolicyError

from support.changes import changed_zip
from support.credentials import make_credential
from support.program import run_cli

_PASSWORD = "K7M2Q-PASSW-ORDXX-12345-678901"


def test_a_changed_bundle_is_a_documented_error() -> None:
    dice = random.Random("bundle")  # noqa: S311 - what is changed
    intact = build_bundle(make_credential(), _PASSWORD)
    files, opened = open_bundle(intact, _PASSWORD), 0
    for _ in range(2000):
        try:
            assert open_bundle(changed_zip(intact, dice), _PASSWORD) == files
            opened += 1
        except (PolicyError, KeyUnavailableError):
            continue
    assert opened < 200, "only dates in both places, modes and the like may be anything"


def test_a_changed_bundle_leaves_no_file(tmp_path: Path) -> None:
    dice = random.Random("bundle file")  # noqa: S311 - what is changed
    intact, given, password = build_bundle(make_credential(), _PASSWORD), tmp_path / "given.zip", tmp_path / "password"
    password.write_text(_PASSWORD + "\n")
    for number in range(12):
        given.write_bytes(changed_zip(intact, dice))
        out = tmp_path / f"out-{number}"
        result = run_cli(
            "bundle", "open", given, "--out", out, "--password-file", password, expect=(0, 6, 7), cwd=tmp_path
        )
        assert result.exit_code == 0 or not out.exists()
