"""The unlocked CA: its keys and its vault, opened with the passphrase, and who of several CAs signs what."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias

from iotonboard.ca import recovery, secrets_asked, tokens
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, CaKey, load_ca_key
from iotonboard.ca.passphrase import TOKEN_SCHEME
from iotonboard.ca.trail_seal import seal_problem, unsigned_rows
from iotonboard.ca.vault import RECOVERY, VAULT_KEY_OCTETS, Vault
from iotonboard.disk.reading import read_file
from iotonboard.errors import BusyError, ConflictError, IotOnboardError, KeyUnavailableError, NotFoundError
from iotonboard.pki import pem
from iotonboard.pki.issuer import Issuer, load_issuer
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.chain import chain_in_force
from iotonboard.state.sealing import note_event, seal_rows
from iotonboard.state.settings_seal import adopt_settings
from iotonboard.store import audit
from iotonboard.store.issuers import all_issuers, current_issuers, valid_devices
from iotonboard.store.succession import cas_in_force
from iotonboard.store.vaults import earlier_vaults, set_earlier_vaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow
    from iotonboard.store.store import Store


_MAX_CA_FILE = 1 << 20
_MOST_UNSIGNED = 1000
_NOT_OURS = "the row of a CA does not have its certificate, and no key here is that of the one that the trail knows"
_UNSIGNED = "rows told what is done with the CA key alone, and the CA did not sign them"
_RESTORE = "restore the state from its latest backup"


@dataclass(frozen=True, slots=True)
class SigningCa:
    """One CA that is unlocked: its row in the store, what it issues with, its key, and its chain.

    ``issuer`` has the certificate in force, which is the first of ``chain``; the last one is the anchor.
    ``certificate_der`` is the one of its row, by which the trail knows it.
    """

    row: int
    issuer: Issuer
    key: CaKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    certificate_der: bytes = field(repr=False)

    @property
    def identity(self) -> str:
        """Its fingerprint, whatever certificate it goes out with: SHA-256 in lower-case hex."""
        return sha256(self.certificate_der).hexdigest()


_OpenKey: TypeAlias = Callable[[str], "CaKey | IotOnboardError"]
MaybeVault: TypeAlias = "Vault | KeyUnavailableError"


@dataclass(frozen=True, slots=True)
class Authority:
    """Every CA of the state, newest first, and the vault of the one that issues.

    ``earlier_vaults`` are those of the CAs before, each with the last row that it is for, the oldest first. In the
    place of a vault that cannot be opened stands why: signing a CRL needs none.
    """

    signing: tuple[SigningCa, ...]
    issuing_vault: MaybeVault
    earlier_vaults: tuple[tuple[int, MaybeVault], ...] = ()

    @property
    def active(self) -> SigningCa:
        """The CA that issues."""
        return self.signing[0]

    @property
    def vault(self) -> Vault:
        """The vault of the CA that issues.

        Raises:
            KeyUnavailableError: it is damaged, or another key's.
        """
        return _opened(self.issuing_vault)

    def vault_of(self, issuer: int) -> Vault:
        """The vault of what a CA, named by its row, certified; raises as ``vault``."""
        return _opened(next((vault for last, vault in self.earlier_vaults if issuer <= last), self.issuing_vault))

    @property
    def chain(self) -> tuple[bytes, ...]:
        """Certificates that go with one that is issued now, DER."""
        return self.active.chain

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """What devices trust, DER, each once: the oldest CA's first, from which the brokers' certificates are.

        One that follows a CA with a root, and waits for that root itself, is nobody's anchor.
        """
        chains = [ca.chain for ca in reversed(self.signing)]
        first = next((place for place, chain in enumerate(chains) if len(chain) > 1), len(chains))
        return tuple(dict.fromkeys(chain[-1] for chain in (*chains[:first], *(c for c in chains if len(c) > 1))))


def _opened(vault: MaybeVault) -> Vault:
    if isinstance(vault, KeyUnavailableError):
        raise KeyUnavailableError(vault.message, hint=vault.hint)
    return vault


# How a command opens the CA: once its input was checked, for it may ask for the passphrase.
Unlock: TypeAlias = Callable[[], Authority]


def unlock(state: State, passphrase: Passphrase | None, *others: Passphrase | None) -> Authority:
    """Open the CA keys and the vault.

    ``passphrase`` is ``None`` for a CA that was made with ``--no-passphrase``. A key that it does not open is
    tried with the ``others``: a change of the passphrase may have been interrupted.

    Raises:
        KeyUnavailableError: a key is missing, the passphrase is wrong, or key and certificate do not match.
    """
    signing = _load_cas(state, (passphrase, *others))
    if not signing:
        raise KeyUnavailableError("the state holds no CA", hint=_RESTORE)
    key = signing[0].key
    earlier = tuple((last, _open_vault(key, each)) for last, each in earlier_vaults(state.store))
    return Authority(signing, _open_vault(key, state.store.meta("vault")), earlier)


def _open_vault(key: CaKey, wrapped: object) -> MaybeVault:
    if not isinstance(wrapped, bytes):
        return KeyUnavailableError("the vault of this state is gone from its database", hint=_RESTORE)
    try:
        return Vault(key.unwrap(wrapped))
    except KeyUnavailableError as error:
        return error


def with_new_ca(state: State, opened: Authority, ca: SigningCa) -> Authority:
    """Put a new CA in front, with a vault of its own, and wrap every vault for its key, in the caller's transaction.

    So the old CA's key, in a backup or in a thief's hands, opens no bundle of a device that the new one certified.
    """
    grown = Authority(
        (ca, *opened.signing),
        Vault(os.urandom(VAULT_KEY_OCTETS)),
        (*opened.earlier_vaults, (opened.active.row, opened.vault)),
    )
    state.store.set_meta("vault", ca.key.wrap(grown.vault.key))
    wrapped = [(last, ca.key.wrap(_opened(vault).key)) for last, vault in grown.earlier_vaults]
    set_earlier_vaults(state.store, wrapped)
    if state.store.meta(RECOVERY) is not None:
        recovery.go_on(state.store, opened.vault, grown)
    return grown


def without_newest_ca(state: State, opened: Authority) -> Authority:
    """Take the CA that issues away again, with its vault, and wrap the others for the one before, in the transaction.

    For a CA that certified nothing: its vault opens nothing.
    """
    *earlier, (_, vault) = opened.earlier_vaults
    left = Authority(opened.signing[1:], _opened(vault), tuple(earlier))
    state.store.set_meta("vault", left.active.key.wrap(left.vault.key))
    set_earlier_vaults(state.store, [(last, left.active.key.wrap(_opened(each).key)) for last, each in earlier])
    if state.store.meta(RECOVERY) is not None:
        recovery.go_on(state.store, opened.vault, left)
    return left


def _load_cas(state: State, passphrases: tuple[Passphrase | None, ...]) -> tuple[SigningCa, ...]:
    """Each CA with its key. One whose row somebody damaged is found by what is published, and is no other row's."""
    open_key = functools.cache(functools.partial(_open_key_file, state, passphrases))
    _prove(state, open_key, has_passphrase=passphrases[0] is not None)
    rows = current_issuers(state.store)
    told, _ = cas_in_force(state.store, [row.der for row in all_issuers(state.store)])
    found = {row.id: _bring_together(state, row, open_key(row.key_file)) for row in rows}
    for row in rows:
        first = found.pop(row.id)
        taken = {ca.identity for ca in found.values() if isinstance(ca, SigningCa)}
        for ca in chain((first,), _elsewhere(state, row, open_key)):
            if isinstance(ca, SigningCa) and ca.identity in (told or {ca.identity}) - taken:
                found[row.id] = ca
                if ca.certificate_der != row.der:
                    state.store.proven_cas[row.id] = ca.certificate_der
                break
        else:
            raise first if not isinstance(first, SigningCa) else KeyUnavailableError(_NOT_OURS, hint=_RESTORE)
    return tuple(ca for row in rows if isinstance(ca := found[row.id], SigningCa))


def _prove(state: State, open_key: _OpenKey, *, has_passphrase: bool) -> None:
    """Know CAs whose row in the trail was damaged by their keys: nobody else encrypts one with the passphrase."""
    rows = all_issuers(state.store)
    told, ended = cas_in_force(state.store, [row.der for row in rows])
    for row in rows:
        if told and has_passphrase and row.key_file and row.fingerprint not in told | ended:
            ca = _bring_together(state, row, open_key(row.key_file))
            if isinstance(ca, SigningCa) and _is_encrypted(os.path.join(state.paths.certs, row.key_file)):
                state.store.proven_cas[row.id] = row.der


def _is_encrypted(path: str) -> bool:
    return b"ENCRYPTED" in read_file(path, limit=MAX_KEY_FILE_OCTETS)


def _elsewhere(state: State, row: IssuerRow, open_key: _OpenKey) -> Iterator[SigningCa]:
    """What a CA may be whose row is damaged: its certificate with another file's key, then a published one."""
    folder, published = state.paths.certs, list[bytes]()
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    with contextlib.suppress(IotOnboardError):
        published += pem.pem_blocks("CERTIFICATE", read_file(state.paths.ca_certificate, limit=_MAX_CA_FILE))
    pairs = [(der, name) for der in (row.der, *published) for name in names if name.endswith(".key")]
    for der, name in pairs:
        if isinstance(ca := _bring_together(state, replace(row, der=der), open_key(name)), SigningCa):
            yield ca


def _bring_together(state: State, row: IssuerRow, key: CaKey | IotOnboardError) -> SigningCa | IotOnboardError:
    """A CA, or why certificate and key are none."""
    if isinstance(key, IotOnboardError):
        return key
    try:
        return signing_ca(state.store, row, key)
    except IotOnboardError as error:
        return error


def _open_key_file(state: State, passphrases: tuple[Passphrase | None, ...], name: str) -> CaKey | IotOnboardError:
    """Open a key with the first passphrase that fits; or why it cannot be opened."""
    path = os.path.join(state.paths.certs, name)
    try:
        content = read_file(path, limit=MAX_KEY_FILE_OCTETS)
        if len(current_issuers(state.store)) > 1 or content.startswith(TOKEN_SCHEME):
            passphrases = tuple(secrets_asked.secret_of(state, name, each) for each in passphrases)
        if content.startswith(TOKEN_SCHEME):
            return tokens.open_key(state, name, content, passphrases[0])  # once: a wrong PIN may block it
        return _open_key(content, passphrases)
    except (NotFoundError, ConflictError) as error:
        is_there = os.path.lexists(path)
        return KeyUnavailableError(
            f"the CA key is not in its place: {error.message}" if is_there else f"the CA key {path!r} is missing",
            hint="bring back the disk or the backup that holds it; a new CA would lock every device out",
        )
    except IotOnboardError as error:
        return error


def _open_key(content: bytes, passphrases: Sequence[Passphrase | None]) -> CaKey:
    *first, last = passphrases
    for passphrase in first:
        with contextlib.suppress(KeyUnavailableError):
            return load_ca_key(content, passphrase)
    return load_ca_key(content, last)


def signing_ca(store: Store, row: IssuerRow, key: CaKey) -> SigningCa:
    """Bring a CA's certificate and its key together: what it issues with is the certificate that it goes out with.

    Raises:
        KeyUnavailableError: they do not belong together.
    """
    chain = chain_in_force(store, row)
    return SigningCa(row.id, load_issuer(chain[0], key.signer), key, chain, row.der)


def refuse_changed(state: State, authority: Authority) -> None:
    """Refuse to sign with CA keys that were opened before a rollover, inside the caller's transaction.

    Raises:
        BusyError: a CA was added or retired since they were opened.
    """
    if [row.id for row in current_issuers(state.store)] != [ca.row for ca in authority.signing]:
        raise BusyError("another command changed the CA meanwhile", hint="run the command again")


def sealer(authority: Authority) -> Callable[[bytes], tuple[int, bytes]]:
    """What signs a statement with the CA that issues, and names its row."""
    return lambda statement: (authority.active.row, sign_statement(authority.active.issuer.signer, statement))


def seal_audit(state: State, authority: Authority, *, before: Authority | None = None) -> None:
    """Sign the head of the trail, inside the caller's transaction, so that a cut-off tail is noticed.

    It is the last change of a transaction: what comes behind it waits for the next signature. A seal that was broken is
    told in the trail, and no obstacle; ``before``: whose signature counted, where a CA goes in this transaction.
    The settings of an earlier version's state, which had no seal, are sealed at this occasion.
    """
    now = state.read_clock().now
    _note_broken_seal(state, before or authority, now)
    adopt_settings(state, now, sealer(authority))
    note_event(state)
    seal_rows(state, now)
    newest = audit.head(state.store)
    signature = sign_statement(authority.active.issuer.signer, audit.head_statement(newest))
    audit.set_signed_head(state.store, audit.SignedHead(newest, authority.active.row, signature))
    state.sealed[:] = [state.store.changes]


def _note_broken_seal(state: State, authority: Authority, now: datetime) -> None:
    """Record what this seal would cover up: one before that is broken, or rows behind it that only the key makes."""
    first = state.store.first_row
    if first == 1:  # the trail begins in this transaction
        return
    signed = audit.signed_head(state.store)
    certificates = {ca.row: ca.certificate_der for ca in authority.signing}
    problem, unsigned = seal_problem(signed, certificates), list[int]()
    if not problem and signed and signed.head.seq + 1 != first:
        unsigned = list(islice(unsigned_rows(state.store, signed, before=first), _MOST_UNSIGNED))
    if problem or unsigned:
        state.record(now, audit.TRAIL, detail={"broken_seal": problem or _UNSIGNED, "rows": unsigned})


def broker_ca(store: Store, authority: Authority, now: datetime) -> SigningCa:
    """The CA for a broker's certificate: the oldest that has valid devices, since those know no other."""
    for ca in reversed(authority.signing[1:]):
        if ca.issuer.validity.contains(now) and valid_devices(store, ca.row, now):
            return ca
    return authority.active
