"""Whatever a bundle's file says that somebody opens: its files as they were packed, or a documented error."""

from __future__ import annotations

import random
from pathlib import Path

from iotonboard.delivery.bundle import build_bundle
from iotonboard.delivery.bundle_reader import open_bundle
from iotonboard.errors import KeyUnavailableError, PolicyError

from support.credentials import make_credential
from support.program import run_cli

_PASSWORD = "K7M2Q-PASSW-ORDXX-12345-678901"


def _changed(octets: bytes, dice: random.Random) -> bytes:
    """One to four changes behind each other: octets, pieces, lengths, places, and what the end says."""
    content = bytearray(octets)
    for _ in range(dice.randint(1, 4)):
        place, size = dice.randrange(len(content)), dice.randrange(1, 64)
        what = dice.randrange(6)
        if what == 0:
            content[place] ^= dice.randrange(1, 256)
        elif what == 1:
            del content[place : place + size]
        elif what == 2:
            content[place:place] = dice.randbytes(size)
        elif what == 3:
            content[place : place + size] = bytes((dice.choice((0, 255)),)) * size
        elif what == 4:  # a piece of itself, such as a header, a second time
            content[place:place] = content[dice.randrange(len(content)) :][:size]
        else:  # in the directory and the end record, where names, sizes and places stand
            begin = content.find(b"PK\1\2")
            content[dice.randrange(max(begin, 0), len(content))] = dice.randrange(256)
        content = content or bytearray(b"x")
    return bytes(content)


def test_a_changed_bundle_is_a_documented_error() -> None:
    dice = random.Random("bundle")  # noqa: S311 - what is changed
    intact = build_bundle(make_credential(), _PASSWORD)
    files, opened = open_bundle(intact, _PASSWORD), 0
    for _ in range(2000):
        try:
            assert open_bundle(_changed(intact, dice), _PASSWORD) == files
            opened += 1
        except (PolicyError, KeyUnavailableError):
            continue
    assert opened < 200, "only dates in both places, modes and the like may be anything"


def test_a_changed_bundle_leaves_no_file(tmp_path: Path) -> None:
    dice = random.Random("bundle file")  # noqa: S311 - what is changed
    intact, given, password = build_bundle(make_credential(), _PASSWORD), tmp_path / "given.zip", tmp_path / "password"
    password.write_text(_PASSWORD + "\n")
    for number in range(12):
        given.write_bytes(_changed(intact, dice))
        out = tmp_path / f"out-{number}"
        result = run_cli(
            "bundle", "open", given, "--out", out, "--password-file", password, expect=(0, 6, 7), cwd=tmp_path
        )
        assert result.exit_code == 0 or not out.exists()
