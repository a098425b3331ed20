"""What must hold in every state directory, whatever was killed, refused or crowded before."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from iotonboard.broker.acl import acl_problems
from iotonboard.store import trail_rows
from iotonboard.store.store import Store

from support.in_process import call
from support.program import Result, State
from support.tools import find, run_tool

_PLAIN_KEYS = (b"BEGIN PRIVATE KEY", b"BEGIN RSA PRIVATE KEY", b"BEGIN EC PRIVATE KEY")


def check_published(state: State) -> None:
    """Check that a command left nothing to be published: no revocation, no file, no change of the ACL."""
    names = ("unpublished", "crl", "acl")
    words = [word for name in names for word in ("--check", name)]
    findings = _answer(state, "health", "--json", *words, expect=(0, 9)).json["checks"]
    assert {one["name"]: one["status"] for one in findings} == dict.fromkeys(names, "ok"), findings


def check_invariants(state: State, *, answered: tuple[str, ...] = (), with_openssl: bool = False) -> None:
    """Check a state after a command of any kind was interrupted. The next command is ``sync-acl``.

    ``answered`` are serials that the program gave out: the database must know them.
    """
    _answer(state, "sync-acl")
    findings = _answer(state, "health", "--json", expect=(0, 9)).json["checks"]
    bad = [one for one in findings if one["status"] == "failed" and one["name"] != "unpublished"]
    assert not bad, bad
    with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
        serials = {row[0] for row in database.execute("SELECT serial FROM certificate")}
        anchors = {row[0] for row in database.execute("SELECT serial FROM issuer WHERE retired_at IS NULL")}
        others = {row[0] for row in database.execute("SELECT der FROM trusted_ca WHERE removed_at IS NULL")}
        issuers = database.execute("SELECT issuer, number FROM crl ORDER BY id").fetchall()
        numbers = [number for _, number in issuers]
        audited = [row[0] for row in database.execute("SELECT detail FROM audit WHERE subject = 'crl'")]
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert trail_rows.first_broken(Store("devices.db", database)) is None
    assert anchors
    for issuer in {issuer for issuer, _ in issuers}:
        own = [number for one, number in issuers if one == issuer]
        assert own == list(range(1, len(own) + 1)), "CRL numbers"
    assert [json.loads(each)["crl_number"] for each in audited] == numbers, "a CRL number was used twice"
    assert {bytes.fromhex(text).rjust(20, b"\0") for text in answered} <= serials, "an answered serial is unknown"
    _check_files(state, serials, anchors, numbers[-len(anchors) :], others)
    if with_openssl:
        _check_with_openssl(state)
    _check_revocable(state)


def _answer(state: State, *words: str, expect: tuple[int, ...] = (0,)) -> Result:
    """Ask in this process, as every interruption is followed by several questions."""
    result = call(state, *words)
    assert result.exit_code in expect, result
    return result


def _check_files(
    state: State, serials: set[bytes], anchors: set[bytes], numbers: list[int], others: set[bytes]
) -> None:
    """Every published file is whole and known; nothing temporary and no key in the clear is left."""
    for path in state.path.rglob("*"):
        if not path.is_file() or path.name.startswith("devices.db"):
            continue
        content = path.read_bytes()
        assert ".tmp" not in path.suffixes, f"staging is left: {path}"
        assert not any(word in content for word in _PLAIN_KEYS), f"a key in the clear: {path}"
        if path.suffix == ".crt" and "cas" not in path.relative_to(state.path).parts:  # of a CA that was added
            known = anchors if path.name == "ca.crt" else serials
            for certificate in x509.load_pem_x509_certificates(content):
                if path.name == "ca.crt" and certificate.public_bytes(Encoding.DER) in others:
                    continue
                assert certificate.serial_number.to_bytes(20) in known, f"the database does not know {path}"
    certificates = x509.load_pem_x509_certificates(state.ca_cert.read_bytes())
    assert {one.public_bytes(Encoding.DER) for one in certificates[len(anchors) :]} == others, "CAs of others in ca.crt"
    del certificates[len(anchors) :]
    assert {one.serial_number.to_bytes(20) for one in certificates} == anchors, "ca.crt"
    own = read_crls(state.crl)[: len(numbers)]
    for certificate, crl, number in zip(certificates, own, numbers, strict=True):
        assert crl.is_signature_valid(certificate.public_key())
        assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number
    assert not acl_problems(state.acl.read_bytes()), "the broker would not read the ACL"


def read_crls(path: Path) -> list[x509.CertificateRevocationList]:
    """Every CRL of a file, in its order."""
    end = b"-----END X509 CRL-----\n"
    return [x509.load_pem_x509_crl(each + end) for each in path.read_bytes().split(end)[:-1]]


def _check_with_openssl(state: State) -> None:
    if find("openssl"):
        run_tool("openssl", "crl", "-in", state.crl, "-CAfile", state.ca_cert, "-verify", "-noout")
        for key in state.certs.glob("*.key"):
            run_tool("openssl", "pkey", "-in", key, "-passin", f"file:{state.passphrase_file}", "-noout")


def _check_revocable(state: State) -> None:
    """In a copy, revoke every certificate that the files and the database hold; all are then on the CRL."""
    with tempfile.TemporaryDirectory() as folder:
        copy = State(Path(shutil.copytree(state.path, Path(folder, "state"))), state.passphrase_file)
        with contextlib.closing(sqlite3.connect(copy.path / "devices.db")) as database:
            query = "SELECT serial FROM certificate WHERE issuer IN (SELECT id FROM issuer WHERE retired_at IS NULL)"
            serials = {row[0].hex() for row in database.execute(query)}
        if not serials:
            return
        words = [word for serial in serials for word in ("--serial", serial)]
        _answer(copy, "revoke", *words)
        listed = {entry.serial_number.to_bytes(20).hex() for crl in read_crls(copy.crl) for entry in crl}
        assert listed == serials
