"""How large the database gets: octets of a device that is registered by itself, as pages of many such hold them."""

from __future__ import annotations

import contextlib
import sqlite3

from support.in_process import call
from support.program import State

_ALLOWED = 2000  # 2.0 GB for a million devices
_RANDOM_FILL = 0.69  # of the pages of an index whose keys come in no order


def test_a_million_devices_whose_ids_are_uuids_take_less_than_two_gigabytes(state: State) -> None:
    assert call(state, "config", "set", "acl.style", "per-device").exit_code == 0
    assert call(state, "register", "3f2a9c1e-77b0-4d6e-9b1a-0c5d8e4f6a21").exit_code == 0
    before = _payloads(state)
    assert call(state, "register", "01704a6b-600b-4c54-b74b-b0928b2099a3").exit_code == 0
    grown = {name: size - before.get(name, 0) for name, size in _payloads(state).items()}
    rows = {name: size / (2 if name == "audit" else 1) for name, size in grown.items() if size > 0}
    assert {"certificate", "device", "audit", "bundle", "region_change"} <= rows.keys()
    assert sum(_octets(state, name, size) * (2 if name == "audit" else 1) for name, size in rows.items()) < _ALLOWED


def _payloads(state: State) -> dict[str, int]:
    """Octets of all rows of each table and index."""
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection:
        return dict(connection.execute("SELECT name, sum(payload) FROM dbstat GROUP BY name"))


def _octets(state: State, name: str, payload: float) -> float:
    """What a row takes of its pages, where many such fill them: eight octets of a page are its header, six of a row."""
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as connection:
        (page,) = connection.execute("PRAGMA page_size").fetchone()
    is_random = name.startswith("sqlite_autoindex") or name in ("certificate_spki", "audit_issued")
    return page / ((page - 8) // (payload + 6)) / (_RANDOM_FILL if is_random else 1)
