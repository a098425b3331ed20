"""A state as an earlier version of the schema left it, without its files, which the database can write again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from support.program import State

VECTORS = Path(__file__).resolve().parents[1] / "vectors"  # see make_state.py there


def make_earlier_state(version: int, folder: Path) -> State:
    """Five devices, of which press-2 is revoked, press-3 on hold and press-4 renewed, and a broker."""
    state = State(folder / "state", folder / "key-file")
    state.certs.mkdir(parents=True, mode=0o700)
    state.path.chmod(0o700)
    for source, target in (("ca.key", state.certs / "ca.key"), ("key-file", state.passphrase_file)):
        shutil.copy(_folder(version) / source, target)
        target.chmod(0o600)
    make_earlier_database(version, state.path / "devices.db")
    return state


def make_earlier_database(version: int, path: Path) -> None:
    """The database of that state alone."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript((_folder(version) / "devices.sql").read_text())
        database.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)


def _folder(version: int) -> Path:
    return VECTORS / f"state-v{version}"
