"""Checks of the CA: its key, its certificate and a rollover."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from iotonboard.ca.passphrase import TOKEN_SCHEME
from iotonboard.disk.permissions import keeps_modes
from iotonboard.disk.reading import read_file
from iotonboard.health.checks import token_check
from iotonboard.health.checks.publications import published_blocks
from iotonboard.health.finding import Outcome, Status, failed, ok, warning
from iotonboard.model import rfc3339
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, kdf_iterations
from iotonboard.pki.pem import pem_decode_all
from iotonboard.state.ca_life import last_longer, validity_in_force
from iotonboard.state.chain import chain_in_force, going_out, published_cas
from iotonboard.state.places import Place, check_here
from iotonboard.state.trust import NEWER_LIST, recorded_trust, sealed_trust
from iotonboard.store.compromised import count_waiting, waiting_brokers
from iotonboard.store.issuers import current_issuers, valid_devices

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.state.trust import Trusted

_KEY_IS_MISSING = "bring back the disk that holds it, or type: iotonboard restore /path/to/backup.zip --state NEW"


def ca_key(state: State) -> Outcome:
    """The key of each CA is there, encrypted, and readable by its owner only."""
    issuers = current_issuers(state.store)
    for issuer in issuers:
        path = os.path.join(state.paths.certs, issuer.key_file)
        if not os.path.exists(path):
            return failed(f"the CA key {path!r} is missing", _KEY_IS_MISSING)
        content = read_file(path, limit=1 << 16)
        if content.startswith(TOKEN_SCHEME):
            outcome = token_check.token(state, issuer.key_file, content)
            if outcome.status is not Status.OK or issuer == issuers[-1]:
                return outcome
            continue
        if b"ENCRYPTED" not in content:
            return warning("the CA key is not encrypted", "type: iotonboard ca passwd")
        if os.name == "posix" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            if not keeps_modes(os.path.dirname(path)):
                return warning(f"others may read {path!r}: its disk keeps no modes", "keep that disk from others")
            return failed(f"others may read {path!r}", f"type: chmod 600 {path}")
    return ok("encrypted, readable by its owner only")


def ca_certificate(state: State) -> Outcome:
    """The issuing CA outlives a new device certificate, and the CA file holds every CA in use."""
    issuers = current_issuers(state.store)
    out = going_out(state.store, issuers)
    if issuers[0] not in out:
        hint = "type: iotonboard ca request --out FILE, and 'iotonboard ca install FILE' with the answer"
        return warning("the CA waits for its root: nothing is certified", hint)
    ends = validity_in_force(state.store, issuers[0]).not_after
    longer = f"type: {last_longer(chain_in_force(state.store, issuers[0]))}"
    left = (ends - state.clock()).days
    if left < 0:
        return failed(f"the CA certificate expired on {rfc3339(ends)}", longer)
    check_here(state, Place.CA)
    published = published_blocks("CERTIFICATE", state.paths.ca_certificate, limit=1 << 20)
    others = {one.ca.der for one in sealed_trust(state.store)}
    own = set(published_cas(state.store, issuers))
    if own | others != set(published):
        message = f"{state.paths.ca_certificate!r} lacks a CA, or holds another one"
        return failed(message, "type: iotonboard health --repair")
    if left < state.config["cert_validity_days"]:
        message = f"{left} days left: shorter than a new device certificate"
        return warning(message, longer)
    return ok(f"{left} days left")


def ca_rollover(state: State) -> Outcome:
    """Devices leave the old CA before it ends, and one that was stolen; an old CA without devices can be retired."""
    if waiting := _waiting(state):
        return waiting
    _, *old = current_issuers(state.store)
    if not old:
        return ok("none is under way")
    devices = valid_devices(state.store, old[0].id, state.clock())
    if not devices:
        return warning("no device uses the old CA any more", "type: iotonboard ca rollover --retire")
    left = (old[0].validity.not_after - state.clock()).days
    message = f"{devices} devices have certificates of the old CA, which has {left} days left"
    if left < state.config["expiring.device_days"]:
        return warning(message, "type: iotonboard renew --old-ca")
    return ok(message)


def trust(state: State) -> Outcome:
    """Each CA of others is signed by ours, and has a list with time left: one that ends locks its whole fleet out."""
    now, found = state.clock(), recorded_trust(state.store)
    if not found:
        return ok("no CA of others is trusted")
    outcomes = [_trust_of(one, now) for one in found]
    return next((outcome for outcome in outcomes if outcome.status is not Status.OK), outcomes[0])


def _trust_of(one: Trusted, now: datetime) -> Outcome:
    name, short = repr(one.ca.name), one.ca.fingerprint[:16]
    if not one.is_sealed:
        message = f"{name} is in the database, and our CA did not sign that: its devices are refused"
        return failed(message, f"type: iotonboard ca trust remove {short}, or 'ca trust add' with its files")
    if one.ca.not_after <= now:
        message = f"{name} expired on {rfc3339(one.ca.not_after)}: its devices are refused"
        return failed(message, f"type: iotonboard ca trust remove {short}")
    if not one.crls:
        return ok("each has a list with time left")
    ends, life = max(crl.next_update for crl in one.crls), one.crls[-1].next_update - one.crls[0].this_update
    if ends <= now:
        return failed(f"the CRL of {name} ended on {rfc3339(ends)}: brokers refuse its devices", NEWER_LIST)
    if ends - now < life / 3:
        return warning(f"the CRL of {name} ends on {rfc3339(ends)}: brokers refuse its devices then", NEWER_LIST)
    return ok("each has a list with time left")


def _waiting(state: State) -> Outcome | None:
    """Who has no certificate since the key of their CA was stolen."""
    if hosts := waiting_brokers(state.store):
        return failed(
            f"the broker {hosts[0]!r} has its certificate from a CA whose key was stolen",
            f"type: iotonboard broker issue {hosts[0]}, and give the broker its new files",
        )
    if devices := count_waiting(state.store):
        message = f"{devices} devices have no certificate since the key of their CA was stolen"
        return warning(message, f"type: iotonboard renew --batch {state.paths.replaced}/.../devices.csv")
    return None


def passphrase(state: State) -> Outcome:
    """Guessing the passphrase of a stolen key file costs enough, for each CA."""
    paths = [os.path.join(state.paths.certs, issuer.key_file) for issuer in current_issuers(state.store)]
    outcomes = [_passphrase_of(path) for path in paths]
    return next((outcome for outcome in outcomes if outcome.status is not Status.OK), outcomes[0])


def _passphrase_of(path: str) -> Outcome:
    if not os.path.exists(path):
        return failed(f"the CA key {path!r} is missing", _KEY_IS_MISSING)
    content = read_file(path, limit=1 << 16)
    if content.startswith(TOKEN_SCHEME):
        return ok("the token counts wrong PINs")
    if b"ENCRYPTED" not in content:
        return warning("the CA key has no passphrase", "type: iotonboard ca passwd")
    rounds = kdf_iterations(pem_decode_all("ENCRYPTED PRIVATE KEY", content)[0])
    if rounds == RANDOM_ITERATIONS:
        return ok("a random key file: nobody guesses it")
    if rounds is None or rounds < HUMAN_ITERATIONS:
        return warning(f"the passphrase can be guessed quickly ({rounds} rounds)", "type: iotonboard ca passwd")
    return ok(f"each guess at it is slow: {rounds} rounds of PBKDF2")
