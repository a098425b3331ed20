"""The deep inspection names every way in which somebody changed the state behind the program's back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.pki.crl import revoked_entries, sign_crl
from iotonboard.pki.pem import pem_decode_all, pem_encode

from support import pki
from support.clock import fake_time
from support.program import State


def edit(state: State, statement: str) -> None:
    with sqlite3.connect(state.path / "devices.db") as connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture(scope="module")
def whole_fleet(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Devices in every stage of life, a broker, and nothing that anybody changed."""
    state = pristine.copy_to(tmp_path_factory.mktemp("fleet"))
    state.register("a", "b", "c", "held", "renewed", "gone", "late")
    state.run("revoke", "held", "--reason", "certificateHold")
    state.run("release", "held")
    state.run("renew", "renewed", "--validity-days", "100")
    state.run("retire", "gone")
    state.run("revoke", "a")
    state.run("broker", "issue", "broker.test", "10.0.0.1")
    return state


@pytest.fixture
def fleet(whole_fleet: State, tmp_path: Path) -> State:
    return whole_fleet.copy_to(tmp_path)


def old_crl(state: State) -> None:
    kept = state.crl.read_bytes()
    state.run("gen-crl")
    state.crl.write_bytes(kept)


def add_ca(state: State) -> None:
    """What an attacker with the disk would have brokers and devices trust."""
    state.ca_cert.write_bytes(state.ca_cert.read_bytes() + pem_encode("CERTIFICATE", pki.issuer().certificate_der))


REVOKE_B = (
    "INSERT INTO revocation (certificate, issuer, revocation_date, reason, not_after, entry_der)"
    " SELECT c.id, c.issuer, 1, 'unspecified', c.not_after, r.entry_der"
    " FROM certificate c, revocation r WHERE c.device = 2 LIMIT 1"
)
LONGER_LIFE = "UPDATE certificate SET not_after = not_after + 1 WHERE device = 2"
SWAP_B = "UPDATE certificate SET der = (SELECT der FROM certificate WHERE device = 3) WHERE device = 2"


def forget_a_revocation(state: State) -> None:
    """As if the CRL that the database signed last had never been."""
    kept = state.crl.read_bytes()
    state.run("revoke", "late")
    with sqlite3.connect(state.path / "devices.db") as connection:
        connection.execute("DELETE FROM crl WHERE number = (SELECT max(number) FROM crl)")
    connection.close()
    state.crl.write_bytes(kept)


def sign_often(state: State) -> None:
    """Lists that begin one second after another, and so last a little less than they would."""
    state.run("config", "set", "crl_next_update_days", "1")
    for _ in range(5):
        state.run("gen-crl")


def file_for_a_folder(state: State) -> None:
    shutil.rmtree(state.device("b"))
    state.device("b").write_bytes(b"x")


def link_out(path: Path, place: Path) -> None:
    path.rename(place)
    path.symlink_to(place)


def broker(state: State) -> Path:
    return state.certs / "brokers" / "broker.test"


FOREIGN = pki.device(device_id="b")
FOREIGN_CRL = sign_crl(pki.issuer(), number=9, this_update=pki.NOW, next_update=pki.NOW + timedelta(days=9), entries=[])

# What is done -> how, and every difference that must be named: its kind, where it is, and words of its message.
# Those of MENDED are gone after --repair, the others only a backup can undo.
TAMPERINGS: dict[str, tuple[Callable[[State], object], list[str]]] = {
    "revoked by nobody": (
        lambda s: edit(s, REVOKE_B),
        ["edited-row b: nobody revoked it", "row b: of revocation is not known"],
    ),
    "longer life": (
        lambda s: edit(s, LONGER_LIFE),
        ["edited-row b: not what its certificate says", "row b: of certificate is not as"],
    ),
    "swapped certificate": (
        lambda s: edit(s, SWAP_B),
        [
            "edited-row b: not what its certificate says",
            "edited-row b: was issued to 'c'",
            "file b: device.crt is not",
            "row b: of certificate is not as",
            "swapped b: another certificate",
        ],
    ),
    "given to another": (
        lambda s: edit(s, "UPDATE certificate SET device = 3 WHERE device = 2"),
        ["edited-row c: was issued to 'b'", "edited-row c: was recorded for 'b'",
         "row c: of certificate is not as", "two-active c: 2 certificates"],
    ),
    "given to another host": (
        lambda s: edit(s, "UPDATE certificate SET host = 'other.test' WHERE host IS NOT NULL"),
        [
            "edited-row other.test: was issued to 'broker.test'",
            "edited-row other.test: was recorded for 'broker.test'",
            "file other.test: broker.crt is not",
            "file other.test: broker.key is not",
            "ghost broker.test: belongs to nothing",
            "row other.test: of certificate is not as",
        ],
    ),
    "of another CA": (
        lambda s: edit(s, f"UPDATE certificate SET der = x'{FOREIGN.hex()}' WHERE device = 2"),  # noqa: S608
        [
            "certificate b: was not signed by this CA",
            "edited-row b: not what its certificate says",
            "file b: device.crt is not",
            "row b: of certificate is not as",
            "swapped b: another certificate",
        ],
    ),
    "vanished": (
        lambda s: edit(s, "DELETE FROM certificate WHERE device = 2"),
        ["row certificate: '2' of certificate is gone", "vanished b: its row is gone"],
    ),
    "garbage": (
        lambda s: edit(s, "UPDATE certificate SET der = x'3000' WHERE device = 2"),
        ["certificate b: not a certificate that can be read", "file b: device.crt is not", "row b: of certificate"],
    ),
    "edited trail": (
        lambda s: edit(s, "UPDATE audit SET detail = '{}' WHERE subject = 'b'"),
        ["trail row 6: does not follow", "unrecorded b: the trail does not know", "edited-row b: the digest of"],
    ),
    "ghost folder": (
        lambda s: (s.certs / "devices" / "ghost").mkdir(mode=0o700),
        ["ghost ghost: certs/devices/ghost belongs to nothing"],
    ),
    "the name of a device in other letters": (
        lambda s: (s.certs / "devices" / "B").mkdir(mode=0o700),
        ["ghost B: certs/devices/B belongs to nothing"],
    ),
    "ghost broker": (
        lambda s: (s.certs / "brokers" / "x.test").mkdir(mode=0o700),
        ["ghost x.test: certs/brokers/x.test belongs to nothing"],
    ),
    "ghost file": (
        lambda s: (s.device("b") / "notes.txt").write_text("x"),
        ["ghost b: certs/devices/b/notes.txt was not written by this program"],
    ),
    "ghost file of a broker": (
        lambda s: (broker(s) / "creds.zip").write_text("x"),
        [
            "ghost broker.test: certs/brokers/broker.test/creds.zip was not written",
            "mode S/certs/brokers/broker.test/creds.zip: 0644",
        ],
    ),
    "the key of another CA": (
        lambda s: shutil.copy2(s.certs / "ca.key", s.certs / "ca-2.key"),
        ["ghost ca-2.key: certs/ca-2.key is the key of no CA"],
    ),
    "link for a folder": (
        lambda s: link_out(s.device("b"), s.path.parent / "b"),
        ["mode S/certs/devices/b: is a link"],
    ),
}  # fmt: skip
MENDED: dict[str, tuple[Callable[[State], object], list[str]]] = {
    "un-revoked": (
        lambda s: edit(s, "DELETE FROM revocation WHERE reason = 'unspecified'"),
        ["row a: of revocation is gone", "un-revoked a: was revoked (unspecified)"],
    ),
    "changed device.crt": (
        lambda s: (s.device("b") / "device.crt").write_bytes(b"x"),
        ["file b: device.crt is not what the database says"],
    ),
    "missing device.key": (
        lambda s: (s.device("b") / "device.key").unlink(),
        ["file b: device.key is not what the database says"],
    ),
    "link for device.crt": (
        lambda s: link_out(s.device("b") / "device.crt", s.path.parent / "b.crt"),
        ["file b: device.crt is not what the database says"],
    ),
    "another bundle": (
        lambda s: shutil.copy(s.device("c") / "creds.zip", s.device("b") / "creds.zip"),
        ["file b: creds.zip is not the one that was made"],
    ),
    "missing bundle": (
        lambda s: (s.device("b") / "creds.zip").unlink(),
        ["file b: creds.zip is not the one that was made"],
    ),
    "changed broker.crt": (
        lambda s: (broker(s) / "broker.crt").write_bytes(b"x"),
        ["file broker.test: broker.crt is not what the database says"],
    ),
    "readable key": (
        lambda s: (s.device("b") / "device.key").chmod(0o640),
        ["mode S/certs/devices/b/device.key: has mode 0640"],
    ),
    "readable bundle": (
        lambda s: (s.device("b") / "creds.zip").chmod(0o604),
        ["mode S/certs/devices/b/creds.zip: has mode 0604"],
    ),
    "open folder": (lambda s: s.device("b").chmod(0o701), ["mode S/certs/devices/b: has mode 0701"]),
    "open state": (lambda s: s.path.chmod(0o710), ["mode S: has mode 0710"]),
    "open database": (lambda s: (s.path / "devices.db").chmod(0o620), ["mode S/devices.db: has mode 0620"]),
    "older CRL": (old_crl, ["crl S/certs/crl.pem: not the CRL that was signed last"]),
    "empty CRL": (lambda s: s.crl.write_bytes(b""), ["crl S/certs/crl.pem: no 'X509 CRL' block"]),
    "missing CRL": (lambda s: s.crl.unlink(), ["crl S/certs/crl.pem: there is no file"]),
    "CRL of another CA": (
        lambda s: s.crl.write_bytes(pem_encode("X509 CRL", FOREIGN_CRL.der)),
        ["crl S/certs/crl.pem: another CA"],
    ),
    "CRL without a revocation": (
        forget_a_revocation,
        ["crl late: was revoked and is not on the CRL", "row crl: of crl is gone"],
    ),
    "another CA in ca.crt": (add_ca, ["ca S/certs/ca.crt: holds another one"]),
    "garbage for ca.crt": (lambda s: s.ca_cert.write_bytes(b"x"), ["ca S/certs/ca.crt: lacks the certificate"]),
}


def named(state: State, *words: str, expect: int = 9) -> list[str]:
    differences = state.run("health", *words, "--json", expect=expect).json["differences"]
    return [f"{one['kind']} {one['subject']}: {one['message']}".replace(str(state.path), "S") for one in differences]


def check_named(found: list[str], expected: list[str]) -> None:
    """Each of ``expected`` is ``kind place: words of the message``."""
    wanted = [one.partition(": ") for one in expected]
    missing = [one for one in wanted if not any(said.startswith(one[0] + ": ") and one[2] in said for said in found)]
    assert missing == [], found
    assert len(found) == len(expected), found


def test_an_untouched_state_has_no_differences(fleet: State) -> None:
    assert named(fleet, "--deep", expect=0) == []
    assert fleet.run("health", "--deep").stdout == "everything is as it was recorded\n"
    sign_often(fleet)
    assert named(fleet, "--deep", expect=0) == []


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_named_and_stays_named(fleet: State, name: str) -> None:
    tamper, differences = TAMPERINGS[name]
    tamper(fleet)
    check_named(named(fleet, "--deep"), differences)
    assert named(fleet, "--repair") != []


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_rebuilt_is_named_and_repaired(fleet: State, name: str) -> None:
    tamper, differences = MENDED[name]
    tamper(fleet)
    check_named(named(fleet, "--deep"), differences)
    assert named(fleet, "--repair", expect=0) == []
    assert named(fleet, "--deep", expect=0) == []


def test_a_file_in_the_place_of_a_folder_is_named_and_once_it_is_away_repaired(fleet: State) -> None:
    file_for_a_folder(fleet)
    lost = [f"file b: {name} is not" for name in ("creds.zip", "device.crt", "device.key")]
    check_named(named(fleet, "--deep"), [*lost, "ghost b: certs/devices/b is no folder"])
    assert "is not a folder" in fleet.run("health", "--repair", expect=8).stderr
    fleet.device("b").unlink()
    assert named(fleet, "--repair", expect=0) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_another_owner_is_named(fleet: State) -> None:
    os.chown(fleet.device("b") / "device.key", 12345, -1)
    check_named(named(fleet, "--deep"), ["mode S/certs/devices/b/device.key: belongs to user 12345, the state to 0"])


def test_a_damaged_page_is_named(fleet: State) -> None:
    database = fleet.path / "devices.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE '%delivery%'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    check_named(named(fleet, "--deep")[:1], ["database S/devices.db: "])


@pytest.mark.parametrize(("days", "words"), [(-2, "no CRL in it is valid now"), (40, "no CRL in it is valid now")])
def test_a_crl_that_is_not_in_force_is_named(fleet: State, days: int, words: str) -> None:
    done = fleet.run("health", "--deep", "--json", env=fake_time(f"{days:+d}d"), expect=9)
    assert any(words in one["message"] for one in done.json["differences"]), done


def test_another_ca_in_the_published_file_is_told_and_not_packed(fleet: State, tmp_path: Path) -> None:
    anchor = fleet.ca_cert.read_bytes()
    add_ca(fleet)
    assert "holds another one" in fleet.run("health", "--check", "ca-certificate", expect=9).stdout
    fleet.run("pack", "--out", tmp_path / "package")
    assert (tmp_path / "package").read_bytes().endswith(b"-----END X509 CRL-----\n" + fleet.acl.read_bytes() + anchor)
    fleet.run("health", "--repair")
    assert fleet.ca_cert.read_bytes() == anchor


def _dates(state: State) -> set[tuple[int, datetime]]:
    ders = pem_decode_all("X509 CRL", state.crl.read_bytes())
    return {(int(serial), date) for der in ders for serial, date, _ in revoked_entries(der)}


def test_repair_puts_the_forgotten_revocation_back_on_the_crl(fleet: State) -> None:
    serial = fleet.json("show", "a")["serial"]
    dates = _dates(fleet)
    edit(fleet, "DELETE FROM revocation")
    fleet.run("health", "--repair")
    assert _dates(fleet) == dates, "a signature of before the repair counts as it did"
    certificate = fleet.json("show", "a")["certificates"][0]
    assert (certificate["serial"], certificate["status"]) == (serial, "revoked")
    assert fleet.json("gen-crl")["revoked"] == 2


def test_repaired_bundle_opens_with_the_same_password(fleet: State) -> None:
    before = fleet.json("export", "b", "--out", fleet.path.parent / "before.zip")["bundle_password"]
    (fleet.device("b") / "creds.zip").unlink()
    fleet.run("health", "--repair")
    assert (fleet.device("b") / "creds.zip").stat().st_mode & 0o777 == 0o600
    after = fleet.json("export", "b", "--out", fleet.path.parent / "after.zip")["bundle_password"]
    assert before == after
