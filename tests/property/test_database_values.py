"""Whatever somebody writes into one place of the database: a documented exit, and others are revoked all the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from iotonboard.pki import pem
from iotonboard.pki.crl import revoked_entries

from support.in_process import call
from support.old_fleet import OldFleet
from support.orders import make_signing, production
from support.program import State, make_state

_SAMPLE = 120  # edits of the short version
_VALUES = {
    "text": "'oops'",
    "negative": "-5",
    "huge": "9223372036854775807",
    "large": "99999999999999",
    "zero": "0",
    "real": "1e300",
    "empty": "''",
    "nothing": "NULL",
    "blob": "x'00ff10'",
    "empty blob": "x''",
    "not UTF-8": "CAST(x'fffe41' AS TEXT)",
    "NUL": "CAST(x'610062' AS TEXT)",
    "long": "printf('%.*c', 300, 'x')",
    "JSON": "'[1]'",
    "half JSON": "'{\"a\":'",
    "cut": "substr(COLUMN, 1, length(COLUMN) / 2)",
    "of another row": "",
}
_WORDS = (
    "list", "list --json", "show a", "show b", "health --deep", "gen-crl", "register new", "revoke other-1", "health",
    "health --deep --repair", "revoke other-2", "audit verify",
)  # fmt: skip
_DOCUMENTED = {0, 3, 4, 5, 6, 7, 8, 9}
_OTHERS = "SELECT id FROM device WHERE device_id LIKE 'other-%'"


@dataclass(frozen=True)
class Edit:
    """One value in one column of one row, which its key names."""

    table: str
    column: str
    key: dict[str, object]
    kind: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of {self.key}: {self.kind}"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A state in which every table has rows."""
    state = make_state(tmp_path_factory.mktemp("lived"))
    for words in (
        "register a b held gone old freed other-1 other-2 --set line=3", "topics add a read:x/y", "renew b",
        "revoke held freed --reason certificateHold", "release freed", "revoke gone", "retire old", "deliver a",
        "confirm a", "purge a", "broker issue broker.example", "config set busy_timeout_seconds 3",
        "config set broker.version 2.0", "config set crl_url http://crl.example/", "ca rollover begin",
        "register late waits", "gen-crl",
        "register roams --profile eap-tls", "topics add b read:x/z", "revoke waits --defer",
    ):  # fmt: skip
        result = call(state, *words.split())
        assert result.exit_code == 0, result
    old = OldFleet(state.path.parent / "old")
    result = call(state, "ca", "trust", "add", str(old.ca), "--crl", str(old.crl()))
    assert result.exit_code == 0, result
    _follow_an_office(state)
    with _database(state) as database:
        database.executescript(
            """INSERT INTO set_aside (source, key, subject, refused_by, is_replaced, content)
                VALUES ('device', '7', 'x', 'name', 1, '{}');
            INSERT INTO foreign_revocation SELECT 1, x'0102030405060708090a0b0c0d0e0f1011121314', entry_der
                FROM revocation LIMIT 1;
            INSERT INTO pending SELECT max(id), NULL FROM certificate WHERE host IS NULL;"""
        )
    return state


def _follow_an_office(state: State) -> None:
    folder, office = state.path.parent, make_signing()
    orders = office.orders(state, 1, production=(production(1, 9),))
    for words in (
        ("order", "trust", str(office.write_certificate(folder)), "--fingerprint", office.fingerprint),
        ("order", "take", str(office.write(folder / "a.orders", orders))),
        ("register", "ordered"),
    ):
        result = call(state, *words)
        assert result.exit_code == 0, result


@contextlib.contextmanager
def _database(state: State) -> Iterator[sqlite3.Connection]:
    """A connection that writes what no CHECK allows; text that is none is read as octets."""
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("PRAGMA ignore_check_constraints = 1")
        database.text_factory = _text
        yield database


def _text(octets: bytes) -> str | bytes:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets


_EVERY_ROW = {"issuer", "meta", "place", "setting"}
_TOLD = "SELECT seq, serial, detail FROM audit"
# What comes from a machine elsewhere or from a CA above, or once in the life of a plant.
_WITHOUT_ROWS = {"broker_receipt", "broker_receipt_crl", "compromised_ca", "lost_device", "reenrolment"}
_WITHOUT_ROWS |= {"trusted_ca", "trusted_crl", "ca_chain", "root_crl", "station"}


def _edits(state: State) -> Iterator[Edit]:
    """Every column of the first and the last row of every table, but for those of the devices that are revoked."""
    with _database(state) as database:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (table,) in database.execute(names).fetchall():
            columns = {row[1]: row[5] for row in database.execute(f"PRAGMA table_info({table})")}
            spared = {
                "device": f"WHERE id NOT IN ({_OTHERS})",
                "certificate": f"WHERE device IS NULL OR device NOT IN ({_OTHERS})",
            }.get(table, "")
            keys = [name for name, is_key in columns.items() if is_key]
            rows = database.execute(f"SELECT {', '.join(keys)} FROM {table} {spared} ORDER BY 1").fetchall()  # noqa: S608
            assert rows or table in _WITHOUT_ROWS, f"no row in {table}"
            some = rows if table in _EVERY_ROW else [*rows[:1], *rows[1:][-1:]]
            if table == "audit":
                told = {(bool(serial), *json.loads(detail)): (seq,) for seq, serial, detail in database.execute(_TOLD)}
                some = [*some, *told.values()]
            for row in dict.fromkeys(some):
                for column in columns:
                    for kind in _VALUES:
                        yield Edit(table, column, dict(zip(keys, row, strict=True)), kind)


def _apply(state: State, edit: Edit) -> bool:
    """Write the value; ``False`` where the column cannot hold it whatever somebody does."""
    where = " AND ".join(f"{name} IS ?" for name in edit.key)
    key = list(edit.key.values())
    of_another = f"(SELECT {edit.column} FROM {edit.table} WHERE NOT ({where}) LIMIT 1)"  # noqa: S608
    value = _VALUES[edit.kind].replace("COLUMN", edit.column) or of_another
    with _database(state) as database:
        try:
            parameters = key if _VALUES[edit.kind] else key * 2
            database.execute(f"UPDATE {edit.table} SET {edit.column} = {value} WHERE {where}", parameters)  # noqa: S608
        except (sqlite3.IntegrityError, sqlite3.OperationalError):  # a key, NOT NULL, UNIQUE
            return False
    return True


def _listed(state: State) -> set[int]:
    ders = pem.pem_decode_all("X509 CRL", state.crl.read_bytes())
    return {int(serial) for der in ders for serial, _, _ in revoked_entries(der)}


def _check(state: State, serials: dict[str, int]) -> str:
    """Run every verb; returns what is wrong."""
    for words in _WORDS:
        verb, *rest = words.split()
        result = call(state, verb, *rest)
        if result.exit_code not in _DOCUMENTED or "Traceback" in result.stderr:
            return str(result)
        if verb == "revoke" and (result.exit_code not in (0, 8) or serials[rest[0]] not in _listed(state)):
            return f"not revoked: {result}"
    return ""


def test_no_single_value_stops_what_it_is_not_about(lived: State, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    with _database(lived) as database:
        query = "SELECT d.device_id, c.serial FROM certificate c JOIN device d ON d.id = c.device"
        serials = {name: int.from_bytes(serial) for name, serial in database.execute(query)}
    edits = list(_edits(lived))
    of_issuers = [edit for edit in edits if edit.table == "issuer" and edit.column in ("id", "der", "key_file")]
    if not pytestconfig.getoption("--long"):
        edits = random.Random(int(os.environ.get("IOTB_SEED", "13"))).sample(edits, _SAMPLE)  # noqa: S311
        edits += [edit for edit in of_issuers if edit.kind in ("negative", "blob", "of another row")]
    wrong = []
    for edit in edits:
        folder = tmp_path / "copy"
        folder.mkdir()
        state = lived.copy_to(folder)
        if _apply(state, edit) and (problem := _check(state, serials)):
            wrong.append(f"{edit}\n{problem}")
        shutil.rmtree(folder)
    assert not wrong, f"{len(wrong)} of {len(edits)}:\n" + "\n".join(wrong[:5])
