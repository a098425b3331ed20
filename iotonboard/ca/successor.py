"""The CA that follows another one: its name, its key and its certificate."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.founding import NewKey, found_ca
from iotonboard.ca.rollover_status import name_of, stem_of
from iotonboard.errors import ConflictError, KeyUnavailableError
from iotonboard.pki.ca_profiles import Subject, renamed
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.signatures import sign_statement
from iotonboard.store.issuers import all_issuers
from iotonboard.store.succession import VOUCHED, succession_statement

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from iotonboard.ca.authority import Authority, SigningCa
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.model import KeyType
    from iotonboard.state.state import State

_NAME_BOUND = 64  # octets: RFC 5280 appendix A.1, ub-common-name, as the library counts it


@dataclass(frozen=True, slots=True)
class NewCa:
    """What the new CA shall be; what is ``None`` follows the CA that issues now.

    ``token``: where its key is, which is made there with ``generate``; ``None``: in a file.
    """

    name: str | None
    key_type: KeyType | None
    validity_days: int
    token: TokenUri | None = None
    generate: bool = False


def found_successor(
    state: State, opened: Authority, request: NewCa, secret: Passphrase | None, now: datetime
) -> SigningCa:
    """Make the new CA inside the caller's transaction: after the one that issues, unless the request says otherwise.

    Raises:
        ConflictError: a CA had that name before.
        KeyUnavailableError: a key that an interrupted call left does not open with the passphrase.
        PolicyError: its name cannot be one.
        BusyError: the disk refuses.
    """
    rows, name = all_issuers(state.store), check_name(state, request)
    key_type = request.key_type or certificate_facts(rows[0].der).key_type
    new_key = NewKey(key_type if request.token is None or request.generate else None, secret, request.token)
    key_file, subject = f"ca-{rows[0].id + 1}.key", renamed(opened.active.issuer.name, name)
    begin = state.config.backdated_to
    try:
        ca = found_ca(state, key_file, subject, new_key, request.validity_days, now, not_before=begin)
    except KeyUnavailableError as error:
        if request.token is not None:
            raise
        path = os.path.join(state.paths.certs, key_file)
        raise KeyUnavailableError(
            f"{path!r} is of an interrupted call and does not open: {error.message}",
            hint="move it away: no certificate was made with it; then run the command again",
        ) from None
    _vouch(state, opened, ca, now)
    return ca


def check_name(state: State, request: NewCa) -> str:
    """The name that the new CA gets, which is said before a passphrase is asked for.

    Raises:
        ConflictError: a CA had that name before.
        PolicyError: it cannot be one.
    """
    rows = all_issuers(state.store)
    taken = {name_of(row).casefold() for row in rows}
    name = successor_name(name_of(rows[0]), taken) if request.name is None else request.name
    if name.casefold() in taken:
        raise ConflictError(
            f"a CA of this state is called {name!r} already", hint="choose another --name: brokers tell CAs by it"
        )
    return Subject(name).common_name


def _vouch(state: State, opened: Authority, ca: SigningCa, now: datetime) -> None:
    """Let the CA that issued until now sign in the trail that this one comes after it: no other row is a CA."""
    fingerprint = ca.identity
    signature = sign_statement(opened.active.issuer.signer, succession_statement(fingerprint))
    serial = certificate_facts(ca.certificate_der).serial
    state.record(now, "ca", serial=serial.hex, detail={"fingerprint": fingerprint, VOUCHED: signature.hex()})


def successor_name(current: str, taken: Collection[str]) -> str:
    """The commonName with the next free generation: ``Plant CA``, ``Plant CA G2``, ``Plant CA G3``.

    ``taken`` holds the names that are used, case-folded.
    """
    stem = stem_of(current)
    for number in itertools.count(2):
        suffix = f" G{number}"
        kept = stem.encode()[: _NAME_BOUND - len(suffix)].decode(errors="ignore")  # no half of a letter
        name = kept.rstrip() + suffix
        if name.casefold() not in taken:
            break
    return name
