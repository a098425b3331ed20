"""``ca install``: the CA goes out below its root from now on, or a newer list of the root is taken.

1. Read the file, and judge what is in it (``ca/installing.py``).
2. Show the root's fingerprint, where it is a new one: nothing else says whose root it is.
3. Unlock the CA. In one transaction: judge again, record the chain as the CA signs it, and the root's list.
4. Publish: the CA file with root and station, and the certificates of brokers with their chain, before any bundle or
   export has them. The certificate that the CA signed itself is in the CA file no more.

A list alone proves itself by the root's signature, and needs no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.answer_to_station import read_answer
from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.installing import plan_install
from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.new_chain import record_chain
from iotonboard.state.publication import publish_recorded, try_reload
from iotonboard.store.chains import newest_certificate
from iotonboard.store.root_crls import set_root_crl
from iotonboard.store.trust import count_trust_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.answer_to_station import AnswerFile
    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.ca.installing import Plan
    from iotonboard.errors import Unpublished
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State

_LARGEST = 1 << 28  # octets: lists of large roots


@dataclass(frozen=True, slots=True)
class Result:
    """What was installed, and what of it is not published yet."""

    plan: Plan
    unpublished: tuple[Unpublished, ...]


def install(
    state: State,
    path: str,
    unlock: Unlock,
    *,
    fingerprint: str | None,
    confirm_root: Callable[[str, str], None],
    reload: Reload | None,
) -> Result:
    """Take what a root gave.

    ``fingerprint``: SHA-256 of the root's certificate in hex, as it was read on paper. Without it ``confirm_root`` is
    asked, with the root's name and fingerprint, where the root is a new one; what it raises ends the call.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: see ``plan_install``; or the root has another fingerprint.
        ConflictError: see ``plan_install``.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses.
    """
    content = read_file(path, limit=_LARGEST)
    try:
        file = read_answer(content)
        plan = plan_install(state, file, state.clock())
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error
    if fingerprint is not None:
        _check_fingerprint(fingerprint, plan.root.fingerprint)
    elif plan.is_new_root:
        confirm_root(plan.root.short_name, plan.root.fingerprint)
    if plan.changes:
        plan = _record(state, file, unlock() if plan.chain else None)
    unpublished = publish_recorded(state)
    if reload is not None:
        unpublished += try_reload(state, reload)
    return Result(plan, tuple(unpublished))


def _check_fingerprint(given: str, found: str) -> None:
    if "".join(given.lower().replace(":", "").split()) != found:
        raise PolicyError(
            f"the root in the file has another fingerprint: {found}",
            hint="compare it with the record sheet; whose root it is, nothing else says",
        )


def _record(state: State, file: AnswerFile, authority: Authority | None) -> Plan:
    with state.transaction(signing=True) as now:
        plan = plan_install(state, file, now)
        if plan.chain and authority is not None and plan.issuer is not None:
            refuse_changed(state, authority)
            _record_chain(state, plan, authority, plan.issuer.id, now)
        for crl in plan.crls:
            set_root_crl(state.store, crl)
            detail = {
                "root_crl": crl.root,
                "number": str(crl.number or ""),
                "sha256": sha256(crl.der).hexdigest(),
                "next_update": rfc3339(crl.next_update),
            }
            state.record(now, "ca", detail=detail)
        if plan.crls:
            count_trust_change(state.store)  # they are published behind our own
        if plan.revoked:
            state.store.set_meta("revoked_above", 1)  # asked for before anything is certified
        if authority is not None:
            seal_audit(state, authority)
    return plan


def _record_chain(state: State, plan: Plan, authority: Authority, issuer: int, now: datetime) -> None:
    ca = next(one for one in authority.signing if one.row == issuer)
    record_chain(state.store, issuer, plan.chain, lambda octets: sign_statement(ca.issuer.signer, octets), now)
    mark_acl(state)  # its region names the CA that issues, once that goes out
    detail: dict[str, object] = {"ca": ca.identity, "chain": [sha256(der).hexdigest() for der in plan.chain]}
    detail["certified"] = newest_certificate(state.store)
    state.record(now, "ca", detail=detail)
