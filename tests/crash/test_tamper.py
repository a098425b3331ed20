"""The deep inspection names every way in which somebody changed the state behind the program's back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from iotonboard.pki.pem import pem_encode

from support import pki
from support.program import State


def edit(state: State, statement: str) -> None:
    with sqlite3.connect(state.path / "devices.db") as connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture
def fleet(state: State) -> State:
    """Three devices, one of them revoked, and a broker."""
    state.register("a", "b", "c")
    state.run("revoke", "a")
    state.run("broker", "issue", "broker.test", "10.0.0.1")
    return state


def old_crl(state: State) -> None:
    kept = state.crl.read_bytes()
    state.run("gen-crl")
    state.crl.write_bytes(kept)


def add_ca(state: State) -> None:
    """What an attacker with the disk would have brokers and devices trust."""
    state.ca_cert.write_bytes(state.ca_cert.read_bytes() + pem_encode("CERTIFICATE", pki.issuer().certificate_der))


REVOKE_B = (
    "INSERT INTO revocation SELECT c.id, 1, 'unspecified', c.not_after, r.entry_der"
    " FROM certificate c, revocation r WHERE c.device = 2"
)
LONGER_LIFE = "UPDATE certificate SET not_after = not_after + 1 WHERE device = 2"
SWAP_B = "UPDATE certificate SET der = (SELECT der FROM certificate WHERE device = 3) WHERE device = 2"

# what is done -> (how, kind of difference that must be named, whether --repair can mend all of it)
TAMPERINGS: dict[str, tuple[Callable[[State], object], str, bool]] = {
    "un-revoked": (lambda s: edit(s, "DELETE FROM revocation"), "un-revoked", True),
    "revoked by nobody": (lambda s: edit(s, REVOKE_B), "edited-row", False),
    "longer life": (
        lambda s: edit(s, LONGER_LIFE),
        "edited-row",
        False,
    ),
    "swapped certificate": (lambda s: edit(s, SWAP_B), "swapped", False),
    "given to another": (lambda s: edit(s, "UPDATE certificate SET device = 3 WHERE device = 2"), "edited-row", False),
    "vanished": (lambda s: edit(s, "DELETE FROM certificate WHERE device = 2"), "vanished", False),
    "garbage": (lambda s: edit(s, "UPDATE certificate SET der = x'3000' WHERE device = 2"), "certificate", False),
    "edited trail": (lambda s: edit(s, "UPDATE audit SET detail = '{}' WHERE subject = 'b'"), "trail", False),
    "changed device.crt": (lambda s: (s.device("b") / "device.crt").write_bytes(b"x"), "file", True),
    "missing device.key": (lambda s: (s.device("b") / "device.key").unlink(), "file", True),
    "another bundle": (lambda s: shutil.copy(s.device("c") / "creds.zip", s.device("b") / "creds.zip"), "file", True),
    "ghost folder": (lambda s: (s.certs / "devices" / "ghost").mkdir(mode=0o700), "ghost", False),
    "ghost file": (lambda s: (s.device("b") / "notes.txt").write_text("x"), "ghost", False),
    "readable key": (lambda s: (s.device("b") / "device.key").chmod(0o644), "mode", True),
    "open folder": (lambda s: s.device("b").chmod(0o755), "mode", True),
    "link for a folder": (
        lambda s: (s.device("b").rename(s.path.parent / "b"), os.symlink(s.path.parent / "b", s.device("b"))),
        "mode",
        False,
    ),
    "older CRL": (old_crl, "crl", True),
    "empty CRL": (lambda s: s.crl.write_bytes(b""), "crl", True),
    "missing CRL": (lambda s: s.crl.unlink(), "crl", True),
    "another CA in ca.crt": (add_ca, "ca", True),
    "garbage for ca.crt": (lambda s: s.ca_cert.write_bytes(b"x"), "ca", True),
}


def test_an_untouched_state_has_no_differences(fleet: State) -> None:
    assert fleet.json("health", "--deep")["differences"] == []


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_named_and_repaired_where_it_can_be(fleet: State, name: str) -> None:
    tamper, kind, is_repairable = TAMPERINGS[name]
    tamper(fleet)
    found = fleet.run("health", "--deep", "--json", expect=9).json["differences"]
    assert kind in {difference["kind"] for difference in found}, found
    left = fleet.run("health", "--repair", "--json", expect=0 if is_repairable else 9).json["differences"]
    assert is_repairable == (left == [])


def test_another_ca_in_the_published_file_is_told_and_not_packed(fleet: State, tmp_path: Path) -> None:
    anchor = fleet.ca_cert.read_bytes()
    add_ca(fleet)
    assert "holds another one" in fleet.run("health", "--check", "ca-certificate", expect=9).stdout
    fleet.run("pack", "--out", tmp_path / "package")
    assert (tmp_path / "package").read_bytes().endswith(b"-----END X509 CRL-----\n" + fleet.acl.read_bytes() + anchor)
    fleet.run("health", "--repair")
    assert fleet.ca_cert.read_bytes() == anchor


def test_repair_puts_the_forgotten_revocation_back_on_the_crl(fleet: State) -> None:
    serial = fleet.json("show", "a")["serial"]
    edit(fleet, "DELETE FROM revocation")
    fleet.run("health", "--repair")
    certificate = fleet.json("show", "a")["certificates"][0]
    assert (certificate["serial"], certificate["status"]) == (serial, "revoked")
    assert fleet.json("gen-crl")["revoked"] == 1


def test_repaired_bundle_opens_with_the_same_password(fleet: State) -> None:
    before = fleet.json("export", "b", "--out", fleet.path.parent / "before.zip")["password"]
    (fleet.device("b") / "creds.zip").unlink()
    fleet.run("health", "--repair")
    assert (fleet.device("b") / "creds.zip").stat().st_mode & 0o777 == 0o600
    after = fleet.json("export", "b", "--out", fleet.path.parent / "after.zip")["password"]
    assert before == after
