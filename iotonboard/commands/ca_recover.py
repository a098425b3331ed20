"""``ca recover``: a CA key is lost, with the token that held it. A new CA at once, named by the recovery passphrase.

1. The recovery passphrase opens the vaults, and a key that names the CA after the lost one.
2. In one transaction: note whose certificate is of the lost CA; make the new CA, with a vault of its own beside those
   of before; retire the lost one; sign the first CRL of the new CA, the settings and the trail.
3. Publish: CRL, CA file without the lost CA, ACL, and the folder with what is to be carried further.
Nothing is revoked: the lost CA could put it on no list. Brokers that get none of the new files go on with its last one,
until that ends; those that get them forget it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca import tokens
from iotonboard.ca.authority import refuse_changed, seal_audit, sealer, unlock
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.founding import check_life
from iotonboard.ca.lost_ca import open_lost, replace_lost
from iotonboard.ca.rollover_status import Replaced, Standing, name_of, replaced_cas, standings
from iotonboard.ca.successor import NewCa, check_name
from iotonboard.ca.token_key import open_token_key
from iotonboard.ca.token_uri import parse_token_uri
from iotonboard.errors import KeyUnavailableError
from iotonboard.pki.issuer import load_issuer
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.erasure import erase_retired_keys
from iotonboard.state.publication import publish_recorded, refuse_unpublished
from iotonboard.state.settings_seal import seal_settings, standing_values
from iotonboard.store.compromised import count_waiting, waiting_brokers
from iotonboard.store.issuers import current_issuers
from iotonboard.store.succession import recovered_ca

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

Request = NewCa  # what the new CA shall be


@dataclass(frozen=True, slots=True)
class Asked:
    """What gives the recovery passphrase, and the secret of the new key: its passphrase, or the PIN of its token."""

    recovery: Callable[[], Passphrase]
    secret: Callable[[], Passphrase | None]


@dataclass(frozen=True, slots=True)
class Result:
    """What is trusted now, and the lost CAs; so many devices, and these brokers, have no new certificate yet."""

    cas: tuple[Standing, ...]
    lost: tuple[Replaced, ...]
    waiting_devices: int
    waiting_brokers: tuple[str, ...]


def recover(state: State, request: Request, asked: Asked, confirm: Callable[[str], None]) -> Result:
    """Put a new CA in the place of those whose keys are lost: all of a state's, for one secret opens what is left.

    An interrupted call is finished by the same call: it makes no second CA where that of the first one opens.

    ``confirm`` is asked with the name of the CA that issued.

    Raises:
        NotFoundError: no recovery passphrase was set.
        ConflictError: the name was used before, or another copy of the state is at work.
        PolicyError: the clock cannot be right, or the new CA would be shorter than what it issues.
        KeyUnavailableError: the recovery passphrase is wrong, or the new token does not open.
        UnpublishedError: it is done, and not wholly published.
    """
    check_life(state.config, request.validity_days)
    refuse_copies(state)
    issuing = current_issuers(state.store)[0]
    may_be_done = recovered_ca(state.store) == issuing.fingerprint and request.name in (None, name_of(issuing))
    if not may_be_done:
        check_name(state, request)
    confirm(name_of(issuing))
    opened = open_lost(state, asked.recovery())
    secret = asked.secret()
    if not (may_be_done and _opens(state, request, issuing, secret)):
        with state.transaction(signing=True) as now:
            refuse_changed(state, opened)
            _recover(state, request, opened, secret, now)
    refuse_unpublished(publish_recorded(state))
    erase_retired_keys(state)
    waiting = count_waiting(state.store), tuple(waiting_brokers(state.store))
    return Result(standings(state), replaced_cas(state), *waiting)


def _opens(state: State, request: Request, issuing: IssuerRow, secret: Passphrase | None) -> bool:
    """Say whether the CA that an earlier call made is the one that is asked for: it is not lost, and stays.

    Raises:
        KeyUnavailableError: the token, whose PIN is tried once, does not open.
    """
    place = tokens.sealed_uri(state.store, issuing.key_file)
    if request.generate or (parse_token_uri(place) if place else None) != request.token:
        return False
    key = None if request.token is None else open_token_key(request.token, secret)
    try:
        if key is None:
            unlock(state, secret)
        else:
            load_issuer(issuing.der, key.signer)  # which refuses another one
    except KeyUnavailableError:
        return False
    return True


def _recover(state: State, request: Request, opened: Authority, secret: Passphrase | None, now: datetime) -> None:
    """Do all of it inside the caller's transaction."""
    left = replace_lost(state, opened, request, secret, now)
    sign_crls(state, left, now)
    mark_acl(state)
    seal_settings(state, standing_values(state), now, sealer(left))
    seal_audit(state, left)
