"""Stations below one root that another program keeps: states, with the chains that this root made of their CAs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.model import Caller
from iotonboard.pki.crl import foreign_crl_facts
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.new_chain import record_chain
from iotonboard.state.state import open_state
from iotonboard.store.root_crls import RootCrl, set_root_crl

from support.program import State, make_state
from support.roots import ROOT_NAME, certified, root_certificate, root_key


class Root:
    """The root: its certificate, and its lists, each with the next number. ``root.crt`` is for who pins it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.der, self.certificates, self._number = root_certificate(), dict[str, list[bytes]](), 0
        self.crt = folder / "root.crt"
        self.crt.write_bytes(x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM))

    def crl(self, *revoked: bytes, days: float = 365, reason: x509.ReasonFlags | None = None) -> bytes:
        """A list (DER) with these certificates of stations on it."""
        self._number += 1
        begin = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=self._number)
        builder = x509.CertificateRevocationListBuilder().issuer_name(ROOT_NAME).last_update(begin)
        builder = builder.next_update(begin + timedelta(days=days))
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key("").public_key())
        builder = builder.add_extension(key_id, critical=False)
        builder = builder.add_extension(x509.CRLNumber(self._number), critical=False)
        for der in revoked:
            serial = x509.load_der_x509_certificate(der).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begin)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(root_key(""), SHA256()).public_bytes(Encoding.DER)

    def station(self, folder: Path, name: str, *, days: int = 1000) -> State:
        """A station that works, and was certified."""
        folder.mkdir(exist_ok=True)
        state = make_state(folder, "--common-name", name)
        self.install(state, days=days)
        return state

    def install(self, state: State, *, days: int = 1000, crl: bytes | None = None) -> bytes:
        """Let a state's CA go out below this root from now on; returns its certificate, DER."""
        own = x509.load_pem_x509_certificates(state.ca_cert.read_bytes())[0].public_bytes(Encoding.DER)
        below = certified(own, days=days)
        with open_state(str(state.path), {}, Caller("test", "test", "test"), _now) as opened:
            authority = unlock(opened, parse_passphrase_file(state.passphrase_file.read_bytes()))
            signer = authority.active.issuer.signer
            with opened.transaction() as now:
                chain = (below, self.der)
                record_chain(opened.store, authority.active.row, chain, lambda one: sign_statement(signer, one), now)
                self._take(opened.store, crl or self.crl())
                opened.record(now, "ca", detail={"chain": "test"})
                seal_audit(opened, authority)
        state.run("gen-crl")
        return below

    def _take(self, store, der: bytes) -> None:  # type: ignore[no-untyped-def]
        facts = foreign_crl_facts(der, self.der)
        root = x509.load_der_x509_certificate(self.der).fingerprint(SHA256()).hex()
        set_root_crl(store, RootCrl(root, facts.number, facts.this_update, facts.next_update, der))

    def take_crl(self, state: State, crl: bytes) -> None:
        """Give a station a newer list of the root."""
        with open_state(str(state.path), {}, Caller("test", "test", "test"), _now) as opened, opened.transaction():
            self._take(opened.store, crl)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
