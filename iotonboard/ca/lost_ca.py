"""A state whose CA key is lost, opened with the recovery passphrase: its vaults, and CAs that sign nothing any more.

What the recovery key can do in their place is to name the CA that follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, cast

from cryptography import x509

from iotonboard.ca import recovery
from iotonboard.ca.absorption import continue_alone
from iotonboard.ca.authority import Authority, seal_audit, sealer, signing_ca, with_new_ca
from iotonboard.ca.replacement import anchors_after
from iotonboard.ca.successor import found_successor
from iotonboard.ca.vault import RECOVERY
from iotonboard.errors import KeyUnavailableError, StateError
from iotonboard.model import rfc3339
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.trust import seal_trust, sealed_trust
from iotonboard.store.compromised import add_compromised, note_reenrolments
from iotonboard.store.crls import last_listed_crl
from iotonboard.store.issuers import current_issuers, retire_issuer
from iotonboard.store.vaults import earlier_vaults

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from iotonboard.ca.authority import SigningCa
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.successor import NewCa
    from iotonboard.pki.keys import PublicKey
    from iotonboard.pki.signatures import Signer
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

_SEQUENCE = 0x30  # with which certificates and CRLs begin, and no statement does


@dataclass(frozen=True, slots=True)
class _InItsPlace:
    """Says that it is the lost key, and signs statements with the recovery key."""

    certificate_der: bytes = field(repr=False)
    signer: Signer = field(repr=False)

    def public_key(self) -> PublicKey:
        """Return the public half of the lost key."""
        return cast("PublicKey", x509.load_der_x509_certificate(self.certificate_der).public_key())

    def sign(self, octets: bytes, digest: HashAlgorithm) -> bytes:
        """Sign a statement.

        Raises:
            KeyUnavailableError: it is a certificate or a list, which only the CA could sign.
        """
        if octets[:1] == bytes((_SEQUENCE,)):
            _refuse()
        return self.signer.sign(octets, digest)


@dataclass(frozen=True, slots=True)
class _LostKey:
    signer: Signer = field(repr=False)

    def wrap(self, vault_key: bytes) -> bytes:  # noqa: ARG002 - as of every key
        """Refused, as everything else."""
        _refuse()

    def unwrap(self, wrapped: bytes) -> bytes:  # noqa: ARG002
        """Refused, as everything else."""
        _refuse()

    def dump(self, passphrase: Passphrase | None) -> bytes:  # noqa: ARG002
        """Refused, as everything else."""
        _refuse()


def _refuse() -> NoReturn:
    raise KeyUnavailableError("the CA key is lost", hint="a new CA signs in its place: iotonboard ca recover")


def open_lost(state: State, passphrase: Passphrase) -> Authority:
    """Open the vaults of a state with its recovery passphrase; its CAs can sign nothing.

    Raises:
        NotFoundError: no recovery passphrase was set.
        KeyUnavailableError: it is another one.
    """
    secret = recovery.open_secret(state.store.meta(RECOVERY), passphrase)
    vaults, signer = recovery.open_vaults(state.store, secret), recovery.signer_of(secret)
    lost = KeyUnavailableError("a vault of this state was damaged", hint="restore an older backup")
    return Authority(
        tuple(signing_ca(state.store, row, _key_of(row, signer)) for row in current_issuers(state.store)),
        vaults.get(recovery.ISSUING, lost),
        tuple((last, vaults.get(last, lost)) for last, _ in earlier_vaults(state.store)),
    )


def _key_of(row: IssuerRow, signer: Signer) -> _LostKey:
    return _LostKey(_InItsPlace(row.der, signer))


def replace_lost(state: State, opened: Authority, new: NewCa, secret: Passphrase | None, now: datetime) -> Authority:
    """Make the CA that follows those of ``open_lost``, and retire them, inside the caller's transaction.

    Whose certificate is of them is noted. What signs from then on is returned; lists, ACL and settings are still to be
    signed by it, and the trail sealed.

    Raises:
        ConflictError: a CA had that name before.
        KeyUnavailableError: the new key's token does not open.
        StateError: the last list of a lost CA is gone.
        BusyError: the disk refuses.
    """
    trusted = sealed_trust(state.store)
    for ca in opened.signing:
        note_reenrolments(state.store, ca.row, now)
    grown = with_new_ca(state, opened, found_successor(state, opened, new, secret, now))
    left = replace(grown, signing=grown.signing[:1])
    for ca in opened.signing:
        retire_issuer(state.store, ca.row, now)
        add_compromised(state.store, anchors_after(ca, left, _last_list(state, ca), now))
        serial = certificate_facts(ca.certificate_der).serial
        state.record(now, "ca", serial=serial.hex, detail={"compromised": ca.identity, "lost": rfc3339(now)})
    continue_alone(state)  # no other copy of this state has the new CA
    seal_audit(state, left, before=opened)
    seal_trust(state.store, trusted, sealer(left))
    return left


def _last_list(state: State, ca: SigningCa) -> bytes:
    """The list that a lost CA signed last: there will be no other."""
    row = last_listed_crl(state.store, ca.row)
    if row is None or not row.der:
        raise StateError("the last list of the lost CA is gone from the database", hint="restore the latest backup")
    return row.der
