"""A state whose CA key is lost, opened with the recovery passphrase: its vaults, and CAs that sign nothing any more.

What the recovery key can do in their place is to name the CA that follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, cast

from cryptography import x509

from iotonboard.ca import recovery
from iotonboard.ca.authority import Authority, signing_ca
from iotonboard.errors import KeyUnavailableError
from iotonboard.store.issuers import current_issuers
from iotonboard.store.vaults import earlier_vaults

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from iotonboard.ca.passphrase import Passphrase
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
    secret = recovery.open_secret(state.store.meta(recovery.RECOVERY), passphrase)
    vaults, signer = recovery.open_vaults(state.store, secret), recovery.signer_of(secret)
    lost = KeyUnavailableError("a vault of this state was damaged", hint="restore an older backup")
    return Authority(
        tuple(signing_ca(state.store, row, _key_of(row, signer)) for row in current_issuers(state.store)),
        vaults.get(recovery.ISSUING, lost),
        tuple((last, vaults.get(last, lost)) for last, _ in earlier_vaults(state.store)),
    )


def _key_of(row: IssuerRow, signer: Signer) -> _LostKey:
    return _LostKey(_InItsPlace(row.der, signer))
