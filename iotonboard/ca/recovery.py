"""The recovery passphrase: what a token that died leaves is opened with it, and with nothing else.

It stretches to a key that opens a random secret. Under that every vault key is wrapped a second time; and the secret
itself is kept under the vault key of the CA that issues, so that a rollover goes on with it and asks nobody. From the
secret comes a key that names the CA after one whose key is lost (``store/succession.py``).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from iotonboard.ca.vault import RECOVERY, Vault
from iotonboard.errors import KeyUnavailableError, NotFoundError
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, spki_der
from iotonboard.pki.signatures import SoftwareSigner, sign_statement
from iotonboard.store.succession import recovery_statement

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.pki.signatures import Signer
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

# Single values: the secret under the passphrase, the secret under the vault key, and each vault key under the secret.
_UNDER_VAULT: Final = "recovery kept"
_VAULTS: Final = "recovery vaults"
_SALT_OCTETS: Final = 16
_WRAPPED_OCTETS: Final = 40  # 32 octets by RFC 3394
_ROW_OCTETS: Final = 8
ISSUING: Final = 0  # in the place of a row: the vault of the CA that issues
_MAX_ITERATIONS: Final = 10_000_000


def has_recovery(store: Store) -> bool:
    """Say whether a recovery passphrase was set."""
    return isinstance(store.meta(RECOVERY), bytes)


def set_recovery(state: State, opened: Authority, passphrase: Passphrase, now: datetime) -> None:
    """Set the recovery passphrase, in the caller's transaction; the one before opens nothing from then on.

    The trail tells, signed by the CA, which key may name a CA after this one.
    """
    secret = os.urandom(32)
    salt = os.urandom(_SALT_OCTETS)
    iterations = RANDOM_ITERATIONS if passphrase.is_random_key else HUMAN_ITERATIONS
    head = iterations.to_bytes(4) + salt
    wrapped = aes_key_wrap(_stretched(passphrase.octets, head), secret)
    state.store.set_meta(RECOVERY, head + wrapped)
    _wrap_vaults(state.store, opened, secret)
    public = spki_der(signer_of(secret).public_key()).hex()
    signature = sign_statement(opened.active.issuer.signer, recovery_statement(public)).hex()
    serial = certificate_facts(opened.active.certificate_der).serial
    detail = {"recovery": public, "by": opened.active.identity, "signature": signature}
    state.record(now, "ca", serial=serial.hex, detail=detail)


def go_on(store: Store, before: Vault, opened: Authority) -> None:
    """Wrap the vaults of a state whose CA changed, in the caller's transaction, where there is a recovery passphrase.

    Raises:
        KeyUnavailableError: somebody changed what is kept for it.
    """
    kept = store.meta(_UNDER_VAULT)
    if not isinstance(kept, bytes):
        return
    try:
        secret = aes_key_unwrap(_keeping_key(before), kept)
    except InvalidUnwrap:
        raise KeyUnavailableError(
            "what the recovery passphrase opens was damaged", hint="set a new one: iotonboard ca recovery-passphrase"
        ) from None
    _wrap_vaults(store, opened, secret)


def _wrap_vaults(store: Store, opened: Authority, secret: bytes) -> None:
    store.set_meta(_UNDER_VAULT, aes_key_wrap(_keeping_key(opened.vault), secret))
    wrapping = _derived(secret, b"iotonboard recovery of vaults v1")
    vaults = [(ISSUING, opened.vault)]
    vaults += [(last, vault) for last, vault in opened.earlier_vaults if isinstance(vault, Vault)]
    rows = (last.to_bytes(_ROW_OCTETS) + aes_key_wrap(wrapping, vault.key) for last, vault in vaults)
    store.set_meta(_VAULTS, b"".join(rows))


def open_secret(kept: object, passphrase: Passphrase) -> bytes:
    """Open the secret with the recovery passphrase, from the single value that keeps it.

    Raises:
        NotFoundError: none was set.
        KeyUnavailableError: it is another one.
    """
    if not isinstance(kept, bytes) or not kept:
        raise NotFoundError(
            "this state has no recovery passphrase", hint="'iotonboard ca recovery-passphrase' sets one"
        )
    head, wrapped = kept[: 4 + _SALT_OCTETS], kept[4 + _SALT_OCTETS :]
    if int.from_bytes(head[:4]) <= _MAX_ITERATIONS:
        for octets in passphrase.spellings:
            try:
                return aes_key_unwrap(_stretched(octets, head), wrapped)
            except (InvalidUnwrap, ValueError):
                continue
    raise KeyUnavailableError("the recovery passphrase is wrong", hint="it is the one that was set last")


def open_vaults(store: Store, secret: bytes) -> dict[int, Vault]:
    """The vaults under the secret, by the last row of a CA that each is for; 0: the one of the CA that issues."""
    kept = store.meta(_VAULTS)
    return dict(_unwrapped(kept if isinstance(kept, bytes) else b"", secret))


def _unwrapped(kept: bytes, secret: bytes) -> Iterable[tuple[int, Vault]]:
    wrapping, size = _derived(secret, b"iotonboard recovery of vaults v1"), _ROW_OCTETS + _WRAPPED_OCTETS
    for start in range(0, len(kept), size):
        row = kept[start : start + size]
        try:
            key = aes_key_unwrap(wrapping, row[_ROW_OCTETS:])
        except (InvalidUnwrap, ValueError):
            continue  # that one is damaged; others may not be
        yield int.from_bytes(row[:_ROW_OCTETS]), Vault(key)


def kept_for_backup(store: Store) -> tuple[bytes, bytes]:
    """The secret under the passphrase, and the issuing CA's vault under the secret; empty where there is none."""
    under_passphrase, vaults = store.meta(RECOVERY), store.meta(_VAULTS)
    if not isinstance(under_passphrase, bytes) or not isinstance(vaults, bytes):
        return b"", b""
    return under_passphrase, vaults[: _ROW_OCTETS + _WRAPPED_OCTETS]


def vault_for_backup(under_passphrase: bytes, wrapped: bytes, passphrase: Passphrase) -> Vault:
    """Open with the recovery passphrase what ``kept_for_backup`` gave.

    Raises:
        KeyUnavailableError: it is another passphrase, or none was set.
    """
    found = dict(_unwrapped(wrapped, open_secret(under_passphrase, passphrase)))
    if ISSUING not in found:
        raise KeyUnavailableError("what the recovery passphrase opens was damaged", hint="use another copy")
    return found[ISSUING]


def signer_of(secret: bytes) -> Signer:
    """The key that names the CA after one whose key is lost."""
    seed = _derived(secret, b"iotonboard recovery key v1")
    return SoftwareSigner(Ed25519PrivateKey.from_private_bytes(seed))


def _keeping_key(vault: Vault) -> bytes:
    return _derived(vault.key, b"iotonboard recovery under a vault v1")


def _derived(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret)


def _stretched(passphrase: bytes, head: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase, head[4:], max(int.from_bytes(head[:4]), 1), 32)
