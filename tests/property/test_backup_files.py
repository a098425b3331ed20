"""Whatever a file says that somebody gives to ``restore``: documented errors only, and nothing is left behind."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from support.changes import changed_zip
from support.program import PROJECT, State, run_cli

_VECTOR = PROJECT / "tests" / "vectors"


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
        given.write_bytes(changed_zip(octets, dice))
        result = run_cli("restore", given, "--no-crl", *words, state=place, expect=(0, 6, 7) if words else (6, 7))
        assert "Traceback" not in result.stderr
        if result.exit_code == 0:  # a date, a mode: nothing in format 1 vouches for them
            shutil.rmtree(place.path)
        assert not place.path.exists()
