"""``ca trust``: the devices of another CA beside our own, as long as an old fleet is there.

``add``:

1. Judge certificates and lists (``ca/trust_plan.py``), then unlock the CA.
2. In one transaction: judge again, record them, and sign that they are trusted.
3. Publish: the CRL file with their lists first, then the CA file.
4. Reload the broker, where that was asked for.

``remove`` takes access away, so it needs no key: it records, publishes, and the next package says that the CA goes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.ca.authority import seal_audit, sealer
from iotonboard.ca.trust_plan import plan_trust
from iotonboard.disk.reading import read_file
from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.pki.given import crls_in
from iotonboard.state.publication import publish_recorded, try_reload
from iotonboard.state.trust import recorded_trust, seal_trust
from iotonboard.store.trust import count_trust_change, distrust, replace_crls, trust

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.ca.trust_plan import Entry, TrustPlan
    from iotonboard.errors import Unpublished
    from iotonboard.pki.foreign_ca import ForeignCa
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.state.trust import Trusted

_MAX_CRL = 1 << 28  # octets: a list of some million entries
_LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Result:
    """The CAs of others as they are now. ``changed`` are fingerprints, ``unpublished`` what is to be written yet."""

    trusted: tuple[Trusted, ...]
    changed: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    unpublished: tuple[Unpublished, ...] = ()


def list_trust(state: State) -> Result:
    """The CAs of others that are trusted."""
    return Result(tuple(recorded_trust(state.store)), ())


def add_trust(
    state: State, certificates: str, crls: Sequence[str], unlock: Unlock, *, reload: Reload | None = None
) -> Result:
    """Trust the CAs of a file with their lists, or take newer lists of those that are trusted; again: nothing changes.

    ``certificates`` may be empty where all are.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: a CA or list is not what it must be, would lock somebody out, or the clock cannot be right.
        ConflictError: a CA is our own, or a list older than the one here.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses.
    """
    cas = read_certificate_file(certificates) if certificates else []
    lists = [der for path in crls for der in _read_crls(path)]
    plan = plan_trust(state, cas, lists, state.trusted_time())
    if not any(one.changes for one in plan.entries):
        return Result(tuple(recorded_trust(state.store)), (), plan.warnings, tuple(publish_recorded(state)))
    authority = unlock()
    with state.transaction(signing=True) as now:
        plan = plan_trust(state, cas, lists, now)
        changed = _record(state, plan, authority, now)
        seal_audit(state, authority)
    unpublished = publish_recorded(state)
    if reload is not None:
        unpublished += try_reload(state, reload)
    return Result(tuple(recorded_trust(state.store)), changed, plan.warnings, tuple(unpublished))


def _read_crls(path: str) -> list[bytes]:
    try:
        return crls_in(read_file(path, limit=_MAX_CRL))
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error


def _record(state: State, plan: TrustPlan, authority: Authority, now: datetime) -> tuple[str, ...]:
    changed = [one for one in plan.entries if one.changes]
    for one in changed:
        row = trust(state.store, one.ca.der, one.ca.name, one.ca.not_after, now)
        replace_crls(state.store, row, one.crls)
        state.record(now, "trust", detail=_detail(one))
    names = {one.ca.fingerprint for one in changed}
    sealed = [one for one in recorded_trust(state.store) if one.ca.fingerprint in names]
    seal_trust(state.store, sealed, sealer(authority))
    if changed:
        count_trust_change(state.store)
    return tuple(one.ca.fingerprint for one in changed)


def _detail(entry: Entry) -> dict[str, object]:
    """What the trail says: enough to find certificate and lists again, and to know what was in force."""
    crls = [
        {
            "sha256": one.digest,
            "number": str(one.number or ""),
            "next_update": rfc3339(one.next_update),
            "revoked": one.revoked,
        }
        for one in entry.crls
    ]
    ends = rfc3339(entry.ca.not_after)
    return {"trusted": entry.ca.fingerprint, "name": entry.ca.name, "not_after": ends, "crls": crls}


def remove_trust(state: State, which: Sequence[str], *, reload: Reload | None = None) -> Result:
    """Take CAs of others out again, each with its list, those below it, and one above that has nothing below any more.

    ``which``: the beginning of a fingerprint, or a file with certificates.

    Raises:
        NotFoundError: none that is trusted is meant.
        PolicyError: it is no fingerprint.
        BusyError: the state is locked or the disk refuses.
    """
    with state.transaction() as now:
        standing = recorded_trust(state.store)
        going = _with_dependents(standing, [_named(standing, word) for word in which])
        for one in going:
            distrust(state.store, one.ca.id, now)
            state.record(now, "trust", detail={"distrusted": one.ca.fingerprint, "name": one.ca.name})
        count_trust_change(state.store)
    unpublished = publish_recorded(state)
    if reload is not None:
        unpublished += try_reload(state, reload)
    changed = tuple(one.ca.fingerprint for one in going)
    return Result(tuple(recorded_trust(state.store)), changed, (), tuple(unpublished))


def _named(standing: Sequence[Trusted], word: str) -> list[Trusted]:
    if os.path.isfile(word):
        ders = read_certificate_file(word)
        found = [one for one in standing if one.ca.der in ders]
    else:
        digits = word.replace(":", "").lower()
        if not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", digits):
            raise PolicyError(
                f"{word!r} is no file, and not the beginning of a fingerprint",
                hint="'iotonboard ca trust list' shows them",
            )
        found = [one for one in standing if one.ca.fingerprint.startswith(digits)]
    if not found:
        raise NotFoundError(f"no CA that is trusted is named by {word!r}", hint="'iotonboard ca trust list' shows them")
    return found


def _with_dependents(standing: Sequence[Trusted], named: Sequence[Sequence[Trusted]]) -> list[Trusted]:
    """What goes: nobody is left without the CA above, nor one without a list above nobody."""
    cas = {one.ca.fingerprint: read_foreign_ca(one.ca.der) for one in standing}
    going = {one.ca.fingerprint for each in named for one in each}
    while more := {
        one.ca.fingerprint
        for one in standing
        if one.ca.fingerprint not in going and _is_useless(one, cas, going, cas[one.ca.fingerprint])
    }:
        going |= more
    return [one for one in standing if one.ca.fingerprint in going]


def _is_useless(one: Trusted, cas: dict[str, ForeignCa], going: set[str], ca: ForeignCa) -> bool:
    def left(names: set[str]) -> bool:
        return bool(names) and names <= going

    above = {name for name, other in cas.items() if other.issued(ca)}
    below = {name for name, other in cas.items() if ca.issued(other)}
    return (not ca.is_self_issued and left(above)) or (not one.crls and left(below))
