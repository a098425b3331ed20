"""What a broker's next certificate is to be: what was asked for, and of the rest what it was before."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.enrolment.broker_names import refuse_names_of_devices
from iotonboard.errors import BusyError, NotFoundError, PolicyError, StateError, UsageError
from iotonboard.model import KeyType
from iotonboard.pki.csr import parse_csr, requested_names
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.hostnames import parse_host_names
from iotonboard.state.opened_cas import opened
from iotonboard.state.setting_sets import refuse_no_text
from iotonboard.store.brokers import BrokerSetup, broker_in, broker_setup
from iotonboard.store.certificates import broker_certificates, broker_hosts
from iotonboard.store.issuers import current_issuers
from iotonboard.store.keys import key_holder

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from iotonboard.pki.facts import CertificateFacts
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

DEFAULT_PORT = 8883


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; what is ``None`` or empty stays as it was.

    ``csr`` is a request of a key that was made elsewhere; ``folder`` is one on this machine, for a broker that runs as
    ``user``, and ``seen_as`` its path there, in a container.
    """

    hosts: Sequence[str]
    port: int | None = None
    validity_days: int | None = None
    key_type: KeyType | None = None
    plain_key: bool | None = None
    csr: bytes | None = field(default=None, repr=False)
    folder: str = ""
    user: str = ""
    seen_as: str = ""


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """The next certificate: its names, the broker's setup, and the type of its key.

    ``spki_der`` is of a key that was made elsewhere. ``changes`` says what is otherwise than it was, and
    ``setup_before`` is how it was set up.
    """

    names: tuple[str, ...]
    setup: BrokerSetup
    key_type: KeyType
    spki_der: bytes | None
    setup_before: BrokerSetup
    changes: tuple[str, ...]


def plan_broker(state: State, request: Request) -> BrokerPlan:
    """Decide what is to be made. The one name of a broker that is known stands for all that it had.

    Raises:
        PolicyError: a name is neither a host name nor an address, the request cannot be used, or its key is another's.
        ConflictError: a name is that of a device, which could pose as the broker.
        StateError: the database of an added CA is gone or damaged.
    """
    store = state.store
    csr = None if request.csr is None else parse_csr(request.csr)
    hosts = list(request.hosts) or (requested_names(request.csr) if request.csr else [])
    named = tuple(str(name) for name in parse_host_names(hosts))
    host = _as_recorded(store, named[0])
    before = _newest(store, host)
    names = (host, *named[1:])
    if before and len(named) == 1:
        names = before.alt_names
    _refuse_names_of_devices(state, set(names).difference(before.alt_names if before else ()))
    setup, has_key_elsewhere = _setup(state, request, host), False
    if before and not csr and not (request.key_type or request.folder or request.plain_key):
        has_key_elsewhere = not broker_certificates(store, host)[0].has_key
    spki_der = csr.spki_der if csr else before.spki_der if before and has_key_elsewhere else None
    if spki_der is not None:
        _refuse_used(store, spki_der, host)
        key_type = csr.key_type if csr else _type_before(before) or KeyType.EC_P256
    else:
        key_type = request.key_type or _type_before(before) or _default_type(state)
    old = broker_setup(store, host)
    changes = _changes(before, old, names, setup, key_type) if before else ()
    if setup.folder and (holder := broker_in(store, setup.folder)) not in {"", host}:
        changes = (*changes, f"broker of the folder: {holder} became {host}")
    return BrokerPlan(names, setup, key_type, spki_der, old or replace(setup, port=DEFAULT_PORT), changes)


def _refuse_names_of_devices(state: State, names: Collection[str]) -> None:
    """Refuse names of devices, those of added CAs too: a client that trusts both would take one for the other."""
    if not names:
        return
    refuse_names_of_devices(state.store, names, state.clock())
    with opened(state) as cas:
        for name in cas.names:
            with contextlib.suppress(StateError, BusyError):  # one that is damaged keeps no broker waiting
                refuse_names_of_devices(cas.state(name).store, names, state.clock())


def newest_names(store: Store, host: str) -> tuple[str, ...]:
    """The names in a broker's newest certificate."""
    found = _newest(store, host)
    return found.alt_names if found else ()


def recorded_host(store: Store, name: str, *, by_index: bool = True) -> str:
    """A broker's name as it is recorded, however it is written; without ``by_index`` the table is read through.

    Raises:
        NotFoundError: there is no such broker.
    """
    host = name
    if not broker_certificates(store, name, by_index=by_index):
        host = _as_recorded(store, str(parse_host_names([name])[0]), by_index=by_index)
    if not broker_certificates(store, host, by_index=by_index):
        raise NotFoundError(f"there is no broker {name!r}", hint="'iotonboard broker list' names them")
    return host


def _as_recorded(store: Store, name: str, *, by_index: bool = True) -> str:
    """The name as an earlier version recorded it, perhaps with capitals; itself when nobody did."""
    return next((host for host in broker_hosts(store, by_index=by_index) if host.lower() == name), name)


def _newest(store: Store, host: str) -> CertificateFacts | None:
    found = broker_certificates(store, host)
    return certificate_facts(found[0].der) if found else None


def _setup(state: State, request: Request, host: str) -> BrokerSetup:
    old = broker_setup(state.store, host) or BrokerSetup(host, DEFAULT_PORT, has_plain_key=False, folder="")
    # A copy of the state that was restored for a drill publishes elsewhere, and leaves the folder alone.
    is_here = bool(old.folder) and os.path.dirname(state.paths.acl) == old.folder
    refuse_no_text("--for", request.folder)
    refuse_no_text("--as", request.seen_as)
    folder = os.path.abspath(request.folder) if request.folder else old.folder if is_here else ""
    is_elsewhere = request.csr is not None
    return BrokerSetup(
        host,
        request.port or old.port,
        has_plain_key=not is_elsewhere and (old.has_plain_key if request.plain_key is None else request.plain_key),
        folder="" if is_elsewhere else folder,
        seen_as=_seen_as(request.seen_as, old.seen_as, folder),
    )


def _seen_as(asked: str, before: str, folder: str) -> str:
    """The folder's path in a container; the path that it has here stands for none."""
    if not folder:
        if asked:
            raise UsageError("--as goes with a folder", hint="name that one with --for")
        return ""
    if asked and not asked.startswith("/"):
        raise PolicyError(f"{asked!r} is no path in a container", hint="write it from its root: /mosquitto/config")
    path = asked.rstrip("/") if asked else before
    return "" if path == folder else path


def _default_type(state: State) -> KeyType:
    """The setting's, but one that fits the CA: whoever has an RSA CA has devices that know nothing else.

    Ed25519 is for whom it was asked for: many a device's TLS library does not have it.
    """
    chosen = KeyType(state.config["key_type"])
    ca = certificate_facts(current_issuers(state.store)[0].der).key_type
    if _is_rsa(ca):
        return chosen if _is_rsa(chosen) else KeyType.RSA_2048
    return KeyType.EC_P256 if chosen is KeyType.ED25519 else chosen


def _is_rsa(key_type: KeyType) -> bool:
    return key_type.startswith("rsa-")


def _type_before(before: CertificateFacts | None) -> KeyType | None:
    return before.key_type if before else None


def _refuse_used(store: Store, spki_der: bytes, host: str) -> None:
    holder = key_holder(store, sha256(spki_der).digest())
    if holder and holder.is_compromised:
        raise PolicyError(
            f"this public key was revoked as keyCompromise ({holder.name!r})",
            hint="make a new key on the broker's machine, and a request of it",
        )
    if holder and holder.name != host:
        raise PolicyError(
            f"this public key already has a certificate for {holder.name!r}", hint="every broker needs its own key"
        )


def _changes(
    before: CertificateFacts, old: BrokerSetup | None, names: Sequence[str], setup: BrokerSetup, key_type: KeyType
) -> tuple[str, ...]:
    """What is otherwise than in the certificate before and its setup."""
    told = []
    if set(names) != set(before.alt_names):
        told.append(f"names: {', '.join(before.alt_names)} became {', '.join(names)}")
    if key_type is not before.key_type:
        told.append(f"key: {before.key_type} became {key_type}")
    if old and old.port != setup.port:
        told.append(f"port: {old.port} became {setup.port}")
    if old and old.has_plain_key != setup.has_plain_key:
        told.append("key in the clear: " + ("also" if setup.has_plain_key else "no longer written"))
    if old and old.folder and old.folder != setup.folder:
        told.append(f"folder: {old.folder} became {setup.folder or 'none'}")
    if old and old.seen_as != setup.seen_as:
        told.append(f"in its container: {old.seen_as or 'the same path'} became {setup.seen_as or 'the same path'}")
    return tuple(told)
