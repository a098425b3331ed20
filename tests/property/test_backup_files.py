"""Whatever a file says that somebody gives to ``restore``: documented errors only, and nothing is left behind."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from support.program import PROJECT, State, run_cli

_VECTOR = PROJECT / "tests" / "vectors"


def _changed(octets: bytes, dice: random.Random) -> bytes:
    """One to four changes behind each other: octets, pieces, lengths, and what the end says."""
    content = bytearray(octets)
    for _ in range(dice.randint(1, 4)):
        place, size = dice.randrange(len(content)), dice.randrange(1, 64)
        what = dice.randrange(5)
        if what == 0:
            content[place] ^= dice.randrange(1, 256)
        elif what == 1:
            del content[place : place + size]
        elif what == 2:
            content[place:place] = dice.randbytes(size)
        elif what == 3:
            content[place : place + size] = bytes(size)
        else:  # in the directory, where names, sizes and methods stand
            begin = content.find(b"PK\1\2")
            content[dice.randrange(max(begin, 0), len(content))] = dice.randrange(256)
        content = content or bytearray(b"x")
    return bytes(content)


@pytest.mark.parametrize("words", [(), ("--format", "1")], ids=["sealed", "format 1"])
def test_a_changed_backup_is_a_documented_error(state: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    dice = random.Random(f"backup {words}")  # noqa: S311 - what is changed
    intact, key = tmp_path / "b.zip", state.passphrase_file
    if words:
        intact = Path(shutil.copy2(_VECTOR / "backup-v1" / "backup.zip", intact))
        key = Path(shutil.copy2(_VECTOR / "state-v2" / "key-file", tmp_path / "other-key"))
    else:
        state.run("backup", intact)
    place = State(tmp_path / "place", key)
    octets, given = intact.read_bytes(), tmp_path / "given.zip"
    for _ in range(30):
        given.write_bytes(_changed(octets, dice))
        result = run_cli("restore", given, "--no-crl", *words, state=place, expect=(0, 6, 7) if words else (6, 7))
        assert "Traceback" not in result.stderr
        if result.exit_code == 0:  # a date, a mode: nothing in format 1 vouches for them
            shutil.rmtree(place.path)
        assert not place.path.exists()
