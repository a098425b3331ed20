"""Somebody who copied the state with its CA key and passphrase, and signs with it what he likes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from iotonboard.ca.ca_key import load_ca_key
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.enrolment.results import MANIFEST_HEAD
from iotonboard.store.audit import AuditHead, head_statement

from support.program import State

_SECOND = timedelta(seconds=1)


class Thief:
    """The CA key of a state, in other hands; ``folder`` is where he works."""

    def __init__(self, state: State, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        passphrase = parse_passphrase_file(state.passphrase_file.read_bytes())
        self._signer = load_ca_key((state.certs / "ca.key").read_bytes(), passphrase).signer
        self._key = self._signer.key  # type: ignore[attr-defined]  # a software key
        self._ca = x509.load_pem_x509_certificate(state.ca_cert.read_bytes())
        self._now = datetime.now(UTC).replace(microsecond=0) - _SECOND

    def certificate(self, name: str) -> Path:
        """A certificate for any name, with its key beside it, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now)
            .not_valid_after(self._now + timedelta(days=300))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{name}.crt"
        path.write_bytes(made.public_bytes(Encoding.PEM))
        self.key = key
        return path

    def crl(self, *, number: int, serials: list[int]) -> bytes:
        """A CRL of any number, as PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._ca.subject)
            .last_update(self._now)
            .next_update(self._now + timedelta(days=300))
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self._now).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def results(self, serials: list[str]) -> Path:
        """A results file of a batch, with a signed manifest that names these serials."""
        path = self.folder / "results.csv"
        path.write_text("serial\n" + "".join(f"{serial}\n" for serial in serials))
        manifest = MANIFEST_HEAD + b"".join(b"1\t%b\tx\ty\n" % serial.encode() for serial in serials)
        (self.folder / "results.csv.manifest").write_bytes(manifest)
        signature = self._key.sign(manifest, ec.ECDSA(hashes.SHA256()))
        (self.folder / "results.csv.manifest.sig").write_bytes(signature)
        return path

    def seal_trail(self, state: State) -> None:
        """Sign the trail as it stands, whoever wrote it."""
        with closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
            newest = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            signature = self._key.sign(head_statement(AuditHead(*newest)), ec.ECDSA(hashes.SHA256()))
            connection.execute("UPDATE audit_head SET seq = ?, hash = ?, signature = ?", (*newest, signature))
