"""The unlocked CA in this process: a key that never shows itself, two CAs, and CRLs that say what was meant."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from iotonboard.ca.authority import Authority, broker_ca, refuse_changed, seal_audit, signing_ca, unlock
from iotonboard.ca.ca_key import CaKey, load_ca_key
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.passphrase import Passphrase, key_is_encrypted, parse_passphrase_file
from iotonboard.enrolment.desk import Desk, Order
from iotonboard.errors import BusyError, ConflictError, KeyUnavailableError
from iotonboard.health.trail_check import check_trail
from iotonboard.model import Caller, DeviceId, KeyType, RevocationReason, SerialNumber, Validity
from iotonboard.pki.crl import check_crl
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.pki.keys import PublicKey
from iotonboard.pki.profiles import DeviceProfile
from iotonboard.pki.signatures import Signer
from iotonboard.state.state import State, open_state
from iotonboard.store.crls import last_crl
from iotonboard.store.issuers import current_issuers

from support import program

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)


@dataclass(frozen=True)
class Token:
    """A key that only its holder uses: no method gives away an octet of it."""

    _key: CaKey = field(repr=False)
    signed: list[bytes] = field(default_factory=list)

    @property
    def signer(self) -> Signer:
        return self

    def public_key(self) -> PublicKey:
        return self._key.signer.public_key()

    def sign(self, octets: bytes, digest: hashes.HashAlgorithm) -> bytes:
        self.signed.append(octets)
        return self._key.signer.sign(octets, digest)

    def wrap(self, vault_key: bytes) -> bytes:
        return self._key.wrap(vault_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        return self._key.unwrap(wrapped)

    def dump(self, passphrase: Passphrase | None) -> bytes:
        return b"pkcs11:token=station7;object=ca\n"


@pytest.fixture
def made(tmp_path: Path) -> program.State:
    return program.make_state(tmp_path)


@pytest.fixture
def state(made: program.State) -> Iterator[State]:
    with open_state(str(made.path), {}, Caller("test", "test", "test"), lambda: NOW) as opened:
        yield opened


@pytest.fixture
def passphrase(made: program.State) -> Passphrase:
    return parse_passphrase_file(made.passphrase_file.read_bytes())


def test_a_key_in_a_token_issues_signs_and_seals(made: program.State, state: State, passphrase: Passphrase) -> None:
    token = Token(load_ca_key((made.certs / "ca.key").read_bytes(), passphrase))
    (row,) = current_issuers(state.store)
    opened = Authority((signing_ca(state.store, row, token),), unlock(state, passphrase).vault)
    desk = Desk(opened.active.issuer, opened.chain, opened.anchors, opened.vault, DeviceProfile())
    serial = SerialNumber.from_random(os.urandom(20))
    validity = Validity(NOW, NOW + timedelta(days=1))
    issued = desk.issue(Order(DeviceId("a"), 0, serial, validity, KeyType.EC_P256))
    root = x509.load_der_x509_certificate(opened.active.issuer.certificate_der)
    x509.load_der_x509_certificate(issued.certificate.der).verify_directly_issued_by(root)
    with state.transaction(signing=True) as now:
        (crl,) = sign_crls(state, opened, now)
        seal_audit(state, opened)
    assert check_crl(crl.der or b"", row.der).number == crl.number
    assert check_trail(state.store).problem == ""
    assert [octets[:1] for octets in token.signed] == [b"\x30", b"\x30", b"i"]


def test_the_chain_is_the_issuer_s_and_the_anchors_are_all_that_is_trusted(
    made: program.State, state: State, passphrase: Passphrase
) -> None:
    made.run("ca", "rollover", "begin")
    opened = unlock(state, passphrase)
    new, old = (ca.issuer.certificate_der for ca in opened.signing)
    assert opened.chain == (new,)
    assert opened.anchors == (old, new)
    assert broker_ca(state.store, opened, NOW) is opened.active  # the old one has no devices


def test_what_was_opened_before_a_rollover_signs_nothing_after_it(
    made: program.State, state: State, passphrase: Passphrase
) -> None:
    opened = unlock(state, passphrase)
    refuse_changed(state, opened)
    made.run("ca", "rollover", "begin")
    for call in (refuse_changed, lambda *args: sign_crls(*args, NOW)):
        with pytest.raises(BusyError, match="changed the CA"):
            call(state, opened)


def test_a_crl_that_does_not_say_what_the_database_holds_is_not_recorded(
    made: program.State, state: State, passphrase: Passphrase
) -> None:
    """Here a row that somebody wrote holds two entries, each of them legal."""
    serial = SerialNumber(1 << 90)
    entry = encode_entry(serial, NOW, RevocationReason.SUPERSEDED)
    with closing(sqlite3.connect(made.path / "devices.db")) as connection, connection:
        connection.execute("INSERT INTO foreign_revocation VALUES (1, ?, ?)", (serial.octets, 2 * entry))
    last = last_crl(state.store, 1)
    with pytest.raises(ConflictError, match="not what the database holds"), state.transaction(signing=True) as now:
        sign_crls(state, unlock(state, passphrase), now)
    assert last_crl(state.store, 1) == last


def test_a_key_opens_with_any_of_several_passphrases_or_not_at_all(
    made: program.State, state: State, passphrase: Passphrase
) -> None:
    wrong = Passphrase(b"wrong")
    assert key_is_encrypted(state)
    assert unlock(state, wrong, passphrase).vault == unlock(state, passphrase, wrong).vault
    for words in ((wrong,), (None,), (wrong, None)):
        with pytest.raises(KeyUnavailableError):
            unlock(state, *words)
    (made.certs / "ca.key").unlink()
    assert key_is_encrypted(state)
    with pytest.raises(KeyUnavailableError, match="is missing"):
        unlock(state, passphrase)


def test_the_key_of_another_ca_does_not_open_this_one(
    made: program.State, state: State, passphrase: Passphrase, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = program.make_state(tmp_path / "other")
    (made.certs / "ca.key").write_bytes((other.certs / "ca.key").read_bytes())
    with pytest.raises(KeyUnavailableError, match="does not belong to the CA certificate"):
        unlock(state, parse_passphrase_file(other.passphrase_file.read_bytes()))


def test_nothing_secret_is_shown(state: State, passphrase: Passphrase) -> None:
    opened = unlock(state, passphrase)
    shown = repr(opened)
    assert "PrivateKey" not in shown
    assert repr(opened.vault.key) not in shown
