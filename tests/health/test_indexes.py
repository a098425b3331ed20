"""An index that disagrees with its table: told, built anew, and in nobody's way who revokes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from support.indexes import lose_pages, spoil_index
from support.program import State

_NAME = b"press-1"


def _flip_in_index(state: State) -> None:
    """Change one bit of a device's name where only the index of the names has it."""
    path = state.path / "devices.db"
    whole, at = path.read_bytes(), -1
    while (at := whole.find(_NAME, at + 1)) >= 0:
        damaged = bytearray(whole)
        damaged[at + len(_NAME) - 1] ^= 1
        path.write_bytes(damaged)
        with closing(sqlite3.connect(path)) as database:
            stored = database.execute("SELECT 1 FROM device NOT INDEXED WHERE device_id = 'press-1'").fetchone()
            found = database.execute("SELECT 1 FROM device WHERE device_id = 'press-1'").fetchone()
        if stored and not found:
            return
    pytest.fail("no index holds the name")


def test_a_flipped_bit_hides_no_device_and_is_repaired(state: State) -> None:
    state.register("press-1", "press-2")
    _flip_in_index(state)
    assert "database" in state.run("health", expect=9).stdout
    assert "index" in state.run("health", "--deep", expect=9).stdout
    done = state.run("revoke", "press-1")
    assert "health --repair" in done.stderr
    state.run("health", "--repair")
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    assert state.json("show", "press-1")["status"] == "revoked"


OF_DEVICE = ("certificate_device", "ON certificate(device) WHERE device IS NOT NULL AND id <> {}")
DAMAGES = {
    "the first of three is hidden": (OF_DEVICE[0], OF_DEVICE[1].format(1)),
    "the last of three is hidden": (OF_DEVICE[0], OF_DEVICE[1].format(4)),
    "one stands under another device": (
        OF_DEVICE[0],
        "ON certificate(iif(id = 3, 2, device)) WHERE device IS NOT NULL",
    ),
    "another device's stands under it": (
        OF_DEVICE[0],
        "ON certificate(iif(id = 2, 1, device)) WHERE device IS NOT NULL",
    ),
    "the second index hides one": (
        "certificate_device_again",
        "ON certificate(-device) WHERE device IS NOT NULL AND id <> 3",
    ),
}


@pytest.fixture(scope="module")
def three(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A device with three valid certificates, rows 1, 3 and 4, and another one. Read only: copy it."""
    state = pristine.copy_to(tmp_path_factory.mktemp("three"))
    state.register("press-1", "press-2")
    state.run("renew", "press-1", "--revoke-old", "never")
    state.run("renew", "press-1", "--revoke-old", "never")
    return state


def _listed(state: State) -> set[str]:
    crl = x509.load_pem_x509_crl(state.crl.read_bytes())
    return {f"{entry.serial_number:X}" for entry in crl}


def _serials(state: State, device_id: str) -> set[str]:
    return {one["serial"].lstrip("0") for one in state.json("show", device_id)["certificates"]}


@pytest.mark.parametrize("verb", ["revoke", "retire"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_certificate_of_a_device_is_revoked_and_no_other(
    three: State, tmp_path: Path, damage: str, verb: str
) -> None:
    state = three.copy_to(tmp_path)
    own = _serials(state, "press-1")
    spoil_index(state.path / "devices.db", *DAMAGES[damage])
    assert "database" in {one["kind"] for one in state.json("health", "--deep", expect=9)["differences"]}
    done = state.run(verb, "press-1", "--json")
    assert {serial.lstrip("0") for serial in done.json["serials"]} == own
    assert len(own) == 3
    assert _listed(state) == own
    if damage != "the second index hides one":  # which a small database is not asked by
        assert "an index of the database is damaged" in done.stderr
    assert "user press-1\n" not in state.acl.read_text()
    assert "user press-2\n" in state.acl.read_text()
    state.run("health", "--repair")
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    assert state.json("show", "press-2")["status"] == "active"


GIVING = {
    "renew": ("renew", "press-1", "--revoke-old", "now"),
    "reissue": ("register", "press-1", "--if-exists", "reissue"),
}


@pytest.mark.parametrize("verb", GIVING)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_new_certificate_leaves_none_valid_that_an_index_hides(
    three: State, tmp_path: Path, damage: str, verb: str
) -> None:
    state = three.copy_to(tmp_path)
    own = _serials(state, "press-1")
    spoil_index(state.path / "devices.db", *DAMAGES[damage])
    done = state.run(*GIVING[verb], "--json")
    assert "disagreed with its table, and all were built anew" in done.stderr
    assert _listed(state) == own
    assert state.json("show", "press-2")["status"] == "active"
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_release_ends_the_hold_of_all_of_them_and_of_no_other(three: State, tmp_path: Path, damage: str) -> None:
    state = three.copy_to(tmp_path)
    state.run("revoke", "press-1", "press-2", "--reason", "certificateHold")
    spoil_index(state.path / "devices.db", *DAMAGES[damage])
    assert len(state.json("release", "press-1")["serials"]) == 3
    assert len(_listed(state)) == 1
    assert state.json("show", "press-2")["status"] == "on-hold"


UNREADABLE = (
    "sqlite_autoindex_device_1",
    "certificate_device",
    "revocation_listed",
    "device_retired",
)


@pytest.mark.parametrize("index", UNREADABLE)
def test_an_index_that_cannot_be_read_stops_no_revocation(three: State, tmp_path: Path, index: str) -> None:
    state = three.copy_to(tmp_path)
    own = _serials(state, "press-1")
    lose_pages(state.path / "devices.db", index)
    done = state.run("revoke", "press-1", "--json")
    assert {serial.lstrip("0") for serial in done.json["serials"]} == own == _listed(state)
    assert "could not be read, and all were built anew" in done.stderr
    assert "user press-1\n" not in state.acl.read_text()
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"
    assert "built anew" in state.run("audit", "show", "--subject", "database").stdout


def test_an_index_that_cannot_be_read_is_repaired(three: State, tmp_path: Path) -> None:
    state = three.copy_to(tmp_path)
    lose_pages(state.path / "devices.db", "certificate_device")
    state.run("health", "--deep", expect=(3, 9))
    state.run("health", "--repair")
    assert state.run("health", "--deep").stdout == "everything is as it was recorded\n"


def test_a_broker_is_revoked_whatever_the_index_of_the_hosts_says(state: State) -> None:
    serial = state.json("broker", "issue", "broker.test")["serial"]
    spoil_index(state.path / "devices.db", "certificate_host", "ON certificate(host) WHERE host IS NOT NULL AND id < 0")
    assert state.json("broker", "revoke", "broker.test")["serials"] == [serial]
    assert _listed(state) == {serial.lstrip("0")}


@pytest.mark.parametrize("table", ["delivery", "topic", "overlap", "pending"])
def test_a_table_that_cannot_be_read_stops_no_record(three: State, tmp_path: Path, table: str) -> None:
    """Nothing can mend that but a backup; what is recorded is told all the same."""
    state = three.copy_to(tmp_path)
    lose_pages(state.path / "devices.db", table)
    if table == "delivery":  # what is looked at at the end, for what earlier calls left
        lose_pages(state.path / "devices.db", "delivery_open")
    done = state.run("revoke", "press-1", "--json", expect=(0, 8))
    assert len(done.json["serials"]) == 3
    assert len(_listed(state)) == 3
