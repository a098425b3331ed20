"""A state as version 1 of the schema left it, without its files, which the database can write again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from support.program import State

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "state-v1"  # see make.py there


def make_state_v1(folder: Path) -> State:
    """Five devices, of which press-2 is revoked, press-3 on hold and press-4 renewed, and a broker."""
    state = State(folder / "state", folder / "key-file")
    state.certs.mkdir(parents=True, mode=0o700)
    state.path.chmod(0o700)
    for source, target in (("ca.key", state.certs / "ca.key"), ("key-file", state.passphrase_file)):
        shutil.copy(VECTOR / source, target)
        target.chmod(0o600)
    make_database_v1(state.path / "devices.db")
    return state


def make_database_v1(path: Path) -> None:
    """The database of that state alone."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript((VECTOR / "devices.sql").read_text())
        database.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)
