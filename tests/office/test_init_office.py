"""An office is made once, in either engine, and is nothing that has a CA."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from cryptography import x509
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.office.key import open_key, read_chain
from iotonboard.office.reading_trail import Believer, read_trail
from iotonboard.pki.signatures import sign_statement
from iotonboard.store.audit import GENESIS, AuditHead
from iotonboard.store.registry import trail
from iotonboard.store.registry.registry import Registry

from support.faults import KILLED, die_at
from support.offices import Office, make_office
from support.program import State, make_state


def test_an_office_has_a_key_and_a_registry_and_no_ca(office: Office) -> None:
    assert (office.path / "certs" / "office.key").stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in (office.path / "certs" / "office.key").read_bytes()
    certificate = x509.load_pem_x509_certificate(office.certificate.read_bytes())
    assert certificate.subject.rfc4514_string().startswith("CN=office ")
    assert not (office.path / "certs" / "ca.key").exists()
    told = office.run("register", "press-1", expect=6).stderr
    assert "this is an office, without a CA: no 'register' here" in told
    assert "has no CAs of its own" in office.run("list", "--ca", "servers", expect=2).stderr
    assert "there is a state" in office.run("init-office", expect=4).stderr
    for words in (("backup", "x.zip"), ("restore", "x.zip")):
        assert "copy its folder" in office.run(*words, expect=6).stderr


def test_a_registry_belongs_to_one_office(office: Office, tmp_path: Path) -> None:
    other = Office(tmp_path / "other", office.passphrase_file, office.url or f"sqlite:///{office.path}/devices.db")
    assert "is the registry of an office already" in other.run("init-office", expect=4).stderr


def test_a_states_folder_is_not_made_an_office(tmp_path: Path) -> None:
    state: State = make_state(tmp_path)
    assert "there is a state" in state.run("init-office", expect=4).stderr


def test_a_call_that_was_killed_is_finished_by_the_same_one(tmp_path: Path) -> None:
    made = Office(tmp_path / "hq", make_office(tmp_path / "first").passphrase_file)
    for step in range(1, 200):
        killed = made.run("init-office", before=die_at(step), expect=(0, KILLED)).exit_code
        if killed == 0:
            break
        made.run("init-office", expect=(0, 4))  # 4: the kill came behind the last thing to do
        assert (made.path / "office.json").exists()
        shutil.rmtree(made.path)
    assert step > 5


def test_who_administers_the_database_makes_no_machine_of_the_office(tmp_path: Path) -> None:
    office, stranger = make_office(tmp_path / "hq"), make_office(tmp_path / "stranger")
    with sqlite3.connect(office.path / "devices.db") as ours, sqlite3.connect(stranger.path / "devices.db") as theirs:
        ((ident,),) = ours.execute("SELECT value FROM registry WHERE key = 'id'").fetchall()
        rows = theirs.execute("SELECT * FROM trail ORDER BY seq").fetchall()
        ours.execute("DELETE FROM trail")
        ours.executemany("INSERT INTO trail VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        key = open_key(str(stranger.path / "certs"), parse_passphrase_file(stranger.passphrase_file.read_bytes()))
        head = AuditHead(rows[-1][0], rows[-1][-1])
        signature = sign_statement(key.signer, trail.head_statement(ident, head))
        ours.execute("DELETE FROM trail_head")
        ours.execute("INSERT INTO trail_head VALUES (?, ?, ?, ?)", (head.seq, head.hash, key.id, signature))
    chain = read_chain(str(office.path / "certs"))
    registry = Registry.open(f"sqlite:///{office.path}/devices.db", timeout_s=5)
    reading = read_trail(registry, Believer(ident, AuditHead(0, GENESIS), chain))
    registry.close()
    assert reading.problem is not None
    assert reading.decisions.machines == {}
