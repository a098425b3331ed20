"""What must hold in every state directory, whatever was killed, refused or crowded before."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

from cryptography import x509
from iotonboard import audit
from iotonboard.brokers.acl import acl_problems

from support.faults import must, run_forked
from support.program import State
from support.tools import find, run_tool

_PLAIN_KEYS = (b"BEGIN PRIVATE KEY", b"BEGIN RSA PRIVATE KEY", b"BEGIN EC PRIVATE KEY")


def check_invariants(state: State, *, answered: tuple[str, ...] = (), with_openssl: bool = False) -> None:
    """Check a state after a command of any kind was interrupted. The next command is ``sync-acl``.

    ``answered`` are serials that the program gave out: the database must know them.
    """
    must(run_forked(state, "sync-acl"))
    findings = json.loads(must(run_forked(state, "health", "--json"), 0, 9).stdout)["checks"]
    bad = [one for one in findings if one["status"] == "failed" and one["name"] != "unpublished"]
    assert not bad, bad
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        serials = {row[0] for row in database.execute("SELECT serial FROM certificate")}
        anchors = {row[0] for row in database.execute("SELECT serial FROM issuer")}
        numbers = [row[0] for row in database.execute("SELECT number FROM crl ORDER BY id")]
        audited = [row[0] for row in database.execute("SELECT detail FROM audit WHERE subject = 'crl'")]
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert audit.first_broken(database) is None
    assert len(anchors) == 1
    assert numbers == list(range(1, len(numbers) + 1)), "CRL numbers"
    assert [json.loads(each)["crl_number"] for each in audited] == numbers, "a CRL number was used twice"
    assert {bytes.fromhex(text).rjust(20, b"\0") for text in answered} <= serials, "an answered serial is unknown"
    _check_files(state, serials, anchors, numbers[-1])
    if with_openssl:
        _check_with_openssl(state)
    _check_revocable(state)


def _check_files(state: State, serials: set[bytes], anchors: set[bytes], number: int) -> None:
    """Every published file is whole and known; nothing temporary and no key in the clear is left."""
    for path in state.path.rglob("*"):
        if not path.is_file() or path.name.startswith("devices.db"):
            continue
        content = path.read_bytes()
        assert ".tmp" not in path.suffixes, f"staging is left: {path}"
        assert not any(word in content for word in _PLAIN_KEYS), f"a key in the clear: {path}"
        if path.suffix == ".crt":
            known = anchors if path.name == "ca.crt" else serials
            for certificate in x509.load_pem_x509_certificates(content):
                assert certificate.serial_number.to_bytes(20) in known, f"the database does not know {path}"
    anchor = x509.load_pem_x509_certificate(state.ca_cert.read_bytes())
    crl = x509.load_pem_x509_crl(state.crl.read_bytes())
    assert crl.is_signature_valid(anchor.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number
    assert not acl_problems(state.acl.read_bytes()), "the broker would not read the ACL"


def _check_with_openssl(state: State) -> None:
    if find("openssl"):
        run_tool("openssl", "crl", "-in", state.crl, "-CAfile", state.ca_cert, "-verify", "-noout")
        run_tool("openssl", "pkey", "-in", state.certs / "ca.key", "-passin", f"file:{state.passphrase_file}", "-noout")


def _check_revocable(state: State) -> None:
    """In a copy, revoke every certificate that the files and the database hold; all are then on the CRL."""
    with tempfile.TemporaryDirectory() as folder:
        copy = State(Path(shutil.copytree(state.path, Path(folder, "state"))), state.passphrase_file)
        with contextlib.closing(sqlite3.connect(copy.path / "devices.db")) as database:
            serials = {row[0].hex() for row in database.execute("SELECT serial FROM certificate")}
        if not serials:
            return
        words = [word for serial in serials for word in ("--serial", serial)]
        must(run_forked(copy, "revoke", *words))
        must(run_forked(copy, "gen-crl"))
        listed = {entry.serial_number.to_bytes(20).hex() for entry in x509.load_pem_x509_crl(copy.crl.read_bytes())}
        assert listed == serials
