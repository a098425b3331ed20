"""What a root is asked to certify: judged against all that it certified before, then signed and recorded.

A station keeps its key and its name for its whole life, so that what it issued stays valid. A name belongs to one key:
clients with mbedTLS tell CAs by their names alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.model import SerialNumber, rfc3339
from iotonboard.pki.ca_profiles import StationProfile
from iotonboard.pki.ca_request import spoken
from iotonboard.pki.certificates import certify_station, validity_for
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.profiles import permitted_names, show_name
from iotonboard.state.chain import chain_in_force, identity
from iotonboard.store.crls import newest_of_issuer
from iotonboard.store.issuers import current_issuers
from iotonboard.store.stations import StationCertificate, add_station, stations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from iotonboard.ca.authority import Authority
    from iotonboard.model import Validity
    from iotonboard.pki.ca_request import CaRequest
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

DEFAULT_DAYS = 1825
_MAKE_NEW = "make a new request at the station: iotonboard ca request --out FILE"
_LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What the root allows a station. ``None``: as it had before, or the default.

    ``permitted``: directory names of which one begins each subject that it certifies; an empty tuple: any subject.
    """

    validity_days: int | None = None
    permitted: tuple[x509.Name, ...] | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What will be signed. ``before``: the newest certificate of this key; ``again``: the one that this request got.

    ``unknown_answer``: the request names an answer that is not of this root.
    """

    request: CaRequest
    validity: Validity
    permitted: tuple[x509.Name, ...] = field(repr=False)
    root: IssuerRow
    before: StationCertificate | None
    again: StationCertificate | None
    unknown_answer: bool

    @property
    def permitted_texts(self) -> tuple[str, ...]:
        """``permitted`` for people."""
        return tuple(map(show_name, self.permitted))

    @property
    def words(self) -> str:
        """The request's digest as it is read aloud."""
        return spoken(self.request.digest)


def propose(state: State, request: CaRequest, limits: Limits, now: datetime) -> Proposal:
    """Judge a request; nothing is changed.

    Raises:
        PolicyError: the key was revoked, the clock is disputed, the root's list has ended, or no such validity is
            possible.
        ConflictError: key or name are the root's, another key has the name, the key has another name, or the request is
            older than the last answer, or was answered with other limits.
    """
    root, *_ = current_issuers(state.store)
    every = stations(state.store)
    of_key = [one for one in every if one.spki_sha256 == request.spki_sha256]
    _refuse_name(request, every, root)
    _refuse_revoked(of_key)
    before, again = _earlier(request, of_key, limits)
    clock = state.read_clock()
    if clock.dispute and again is None:
        raise clock.dispute
    _refuse_ended_list(state, root, clock.trusted)
    permitted = limits.permitted
    if permitted is None:
        permitted = permitted_names(before.der) if before else ()
    validity = again.validity if again else _validity(state, root, request, before, limits.validity_days, now)
    is_unknown = bool(request.after) and not of_key
    return Proposal(request, validity, permitted, root, before, again, is_unknown)


def _earlier(
    request: CaRequest, of_key: Sequence[StationCertificate], limits: Limits
) -> tuple[StationCertificate | None, StationCertificate | None]:
    """The newest certificate of this key, and the one that this very request got, where that is the newest."""
    before = of_key[-1] if of_key else None
    again = next((one for one in of_key if one.request == request.digest), None)
    if again is not None and again is not before:
        raise ConflictError("the request was answered before the last one", hint=_MAKE_NEW)
    if again is not None:
        _refuse_other_limits(again, limits)
    elif before is not None:
        _refuse_old(request, of_key)
    return before, again


def _refuse_name(request: CaRequest, every: Sequence[StationCertificate], root: IssuerRow) -> None:
    name, facts, (root_name, _) = request.name.casefold(), certificate_facts(root.der), identity(root.der)
    if request.spki_sha256 == facts.spki_sha256 or request.subject_der == root_name:
        raise ConflictError("the request has the name or the key of this root", hint=_MAKE_NEW)
    if name == facts.subject_cn.casefold():
        raise ConflictError(f"{request.name!r} is the root's own name", hint="every CA has a name of its own")
    for one in every:
        if one.name.casefold() == name and one.spki_sha256 != request.spki_sha256:
            raise ConflictError(
                f"{request.name!r} is the name of another key, certified on {rfc3339(one.signed_at)}",
                hint="clients with mbedTLS cannot tell two CAs of one name apart: make the station's CA with another"
                " name, iotonboard init-ca --below-root --common-name NAME",
            )
        if one.spki_sha256 == request.spki_sha256 and one.name != request.name:
            raise ConflictError(
                f"this key is known as {one.name!r}", hint="a station keeps its name as long as its key"
            )


def _refuse_revoked(of_key: Sequence[StationCertificate]) -> None:
    """Also one of several: who took a station back meant its key."""
    for one in of_key:
        if one.reason is not None:
            raise PolicyError(
                f"{one.name!r} was revoked on {rfc3339(one.revoked_at or one.signed_at)} ({one.reason})",
                hint="make a new CA at the station: iotonboard init-ca --below-root, with another name",
            )


def _refuse_old(request: CaRequest, of_key: Sequence[StationCertificate]) -> None:
    """Refuse a request that was made before the last answer was installed, or after one that nobody knows here."""
    fingerprints = [certificate_facts(one.der).fingerprint for one in of_key]
    if request.after == fingerprints[-1]:
        return
    last = of_key[-1]
    if request.after and request.after not in fingerprints:
        raise ConflictError(
            f"the request names an answer that is not known here ({request.after[:16]})",
            hint="was this root restored from an older backup? bring back the newest one",
        )
    raise ConflictError(
        f"the request is older than the last answer to {last.name!r}, of {rfc3339(last.signed_at)}",
        hint="install that answer and make a new request; where it got lost, 'iotonboard ca sign --again"
        f" {last.name!r} --out FILE' writes it once more",
    )


def _refuse_other_limits(again: StationCertificate, limits: Limits) -> None:
    """Whoever asks for a limit counts on it, and a request gets one answer."""
    days = round((again.validity.not_after - again.signed_at).total_seconds() / 86_400)
    is_other_life = limits.validity_days is not None and limits.validity_days != days
    if is_other_life or (limits.permitted is not None and limits.permitted != permitted_names(again.der)):
        raise ConflictError(
            f"this request was answered on {rfc3339(again.signed_at)}, with other limits",
            hint="leave the options out for the same answer; for others a new request, once it is installed",
        )


def _refuse_ended_list(state: State, root: IssuerRow, now: datetime) -> None:
    lists = newest_of_issuer(state.store, root.id)
    if not lists or max(one.next_update for one in lists) <= now:
        raise PolicyError("the list of this root has ended", hint="type: iotonboard gen-crl")


def _validity(
    state: State,
    root: IssuerRow,
    request: CaRequest,
    before: StationCertificate | None,
    days: int | None,
    now: datetime,
) -> Validity:
    """The days that were asked for; else the default, or what is left of the root.

    It begins where the station's own certificate does, so that one whose devices wake up in 1970 still serves them, but
    a second after the last one: the station tells by it which answer is the newer.
    """
    left = (root.validity.not_after - now).days
    found = validity_for(
        now,
        days or max(min(DEFAULT_DAYS, left), 1),
        skew_minutes=state.config["not_before_skew_minutes"],
        issuer_validity=root.validity,
        backdated_to=request.begins,
    )
    if before is None:
        return found
    next_second = min(before.validity.not_before + timedelta(seconds=1), now)
    return replace(found, not_before=max(found.not_before, next_second))


def certify(state: State, authority: Authority, proposal: Proposal, now: datetime) -> StationCertificate:
    """Sign what was proposed and record it, inside the caller's transaction.

    Raises:
        LintError: a rule was broken; nothing was signed.
        PolicyError: the name cannot be written as it stands in the request.
    """
    request, root = proposal.request, authority.active
    serial = SerialNumber.from_random(os.urandom(20))
    profile = StationProfile(proposal.permitted)
    der = certify_station(root.issuer, request.public_key, request.subject, serial, proposal.validity, profile)
    name, _ = identity(der)
    if name != request.subject_der:
        raise PolicyError(f"the name {request.name!r} cannot be written as it stands in the request", hint=_MAKE_NEW)
    one = StationCertificate(
        request.name, request.spki_sha256, serial, root.row, proposal.validity, der, request.digest, now
    )
    add_station(state.store, one)
    detail = {
        "signed": certificate_facts(der).fingerprint,
        "name": request.name,
        "spki_sha256": request.spki_sha256.hex(),
        "not_after": rfc3339(proposal.validity.not_after),
        "request": request.digest.hex(),
        "permitted": list(proposal.permitted_texts),
    }
    state.record(now, "ca", serial=serial.hex, detail=detail)
    return one


def find_station(state: State, which: str) -> list[StationCertificate]:
    """All that was certified for one station, by its name or the beginning of its key's SHA-256; oldest first.

    Raises:
        NotFoundError: there is none, or several keys begin so.
    """
    every, digits = stations(state.store), which.replace(":", "").lower()
    found = [one for one in every if one.name.casefold() == which.casefold()]
    if not found and len(digits) >= _LEAST_DIGITS:
        found = [one for one in every if one.spki_sha256.hex().startswith(digits)]
    if len({one.spki_sha256 for one in found}) != 1:
        raise NotFoundError(f"no one station is called {which!r}", hint="'iotonboard ca status' shows all of them")
    return found


def chain_of_station(state: State, one: StationCertificate) -> tuple[bytes, ...]:
    """A station's certificate with what stands above it, DER."""
    root = next((row for row in current_issuers(state.store) if row.id == one.issuer), None)
    if root is None:
        raise PolicyError(f"the root that certified {one.name!r} is retired", hint=_MAKE_NEW)
    return (one.der, *chain_in_force(state.store, root))
