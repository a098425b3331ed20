"""Certificates for many devices: issued on all cores in groups, recorded in their order, the CRL behind them."""

from __future__ import annotations

import hashlib
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from iotonboard.authority import refuse_changed, seal_audit, sign_crls
from iotonboard.errors import PolicyError
from iotonboard.issuing import Desk, issue_each
from iotonboard.model import rfc3339
from iotonboard.pki.profiles import DeviceProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.authority import Authority
    from iotonboard.errors import IotOnboardError
    from iotonboard.issuing import Issued, Order
    from iotonboard.model import DeviceId
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.statedir import State
    from iotonboard.workers import WorkerPool

    StartWorkers = Callable[[Desk, PrivateKey], WorkerPool]

# Devices per commit in a batch: enough to share one fsync, few enough to answer several times a second.
GROUP = 256
_RSA_GROUP = 16
_FIRST_GROUP = 32
_POOL_FROM = 24  # a batch shorter than this is issued faster than worker processes start
_POOL_FROM_RSA = 2  # an RSA key takes longer than that start

Plan = TypeVar("Plan")


def desk_of(state: State, authority: Authority) -> Desk:
    """The issuing desk of a state, with the subject fields that the operator configured."""
    names = ("country", "organization", "organizational_unit")
    extra = tuple((name, state.config[f"subject.{name}"]) for name in names if state.config[f"subject.{name}"])
    return Desk(authority.active.issuer, authority.chain, authority.anchors, authority.vault, DeviceProfile(extra))


def issue_groups(
    desk: Desk,
    authority: Authority,
    groups: Iterator[list[Plan]],
    order_of: Callable[[Plan], Order | None],
    start_workers: StartWorkers | None,
) -> Iterator[tuple[list[Plan], Iterator[Issued | IotOnboardError]]]:
    """Issue what each group of plans orders; yields the group with one answer for each of its orders.

    Groups are taken ahead of what is yielded: a long batch is planned while its certificates are made.
    ``start_workers`` is called for a batch that is worth worker processes; ``None``: all is done in this one.
    """
    first = next(groups, [])
    planned: deque[list[Plan]] = deque()

    def orders() -> Iterator[list[Order]]:
        for group in chain((first,), groups):
            planned.append(group)
            yield [order for plan in group if (order := order_of(plan)) is not None]

    if start_workers is None or not _is_long([order_of(plan) for plan in first]):
        for ordered in orders():
            issued = issue_each(desk, ordered)
            yield planned.popleft(), iter(issued)
        return
    with start_workers(desk, authority.active.key) as pool:
        for issued in pool.issue(orders()):
            yield planned.popleft(), iter(issued)


def _is_long(first: list[Order | None]) -> bool:
    """Say whether a batch that begins like this is worth worker processes."""
    return len(first) >= (_POOL_FROM_RSA if _makes_rsa(first) else _POOL_FROM)


def _makes_rsa(orders: Iterable[Order | None]) -> bool:
    return any(order and order.key_type.startswith("rsa") and not order.csr_spki_der for order in orders)


def group_size(limit: int, last: Iterable[Order | None] | None) -> int:
    """How many devices to take after those of the ``last`` group, at most ``limit``; few at the beginning."""
    return min(limit, _FIRST_GROUP if last is None else _RSA_GROUP if _makes_rsa(last) else GROUP)


def record_certificate(
    state: State,
    authority: Authority,
    order: Order,
    issued: Issued,
    *,
    device: int,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Record a certificate, its files and its audit row, inside the caller's transaction.

    Raises:
        PolicyError: the device's own public key is somebody else's, or was revoked as keyCompromise.
        BusyError: a CA was added or retired meanwhile.
    """
    new = issued.certificate
    refuse_changed(state, authority)
    if order.csr_spki_der or order.kept_key:
        _refuse_used_key(state.store.key_holder(new.spki_sha256), order.device_id)
    certificate = state.store.add_certificate(new, issuer=authority.active.row, device=device, now=now)
    state.store.add_pending(certificate, issued.bundle)
    facts: dict[str, object] = {
        "fingerprint": new.fingerprint,
        "key": "device" if order.csr_spki_der else "workstation",
        "not_after": rfc3339(order.validity.not_after),
        **(detail or {}),
    }
    if issued.bundle:
        facts["bundle"] = hashlib.sha256(issued.bundle).hexdigest()
    state.record(now, order.device_id, serial=order.serial.hex, detail=facts)


def _refuse_used_key(holder: tuple[str, bool] | None, device_id: DeviceId) -> None:
    if holder is None:
        return
    name, compromised = holder
    if compromised:
        raise PolicyError(
            f"this public key was revoked as keyCompromise (device {name!r})",
            hint="make a new key on the device",
        )
    if name != device_id:
        raise PolicyError(
            f"this public key already has a certificate for {name!r}",
            hint="every device needs a key of its own",
        )


def publish_crl(state: State, authority: Authority) -> None:
    """Put what was revoked in the course of a batch on one CRL; the ACL is left to the caller."""
    with state.transaction(signing=True) as now:
        sign_crls(state, authority, now)
        seal_audit(state, authority)
    state.publish(acl=False)


def at_line(error: IotOnboardError, line: int) -> IotOnboardError:
    """The same error, with the line of the list that it is about."""
    if not line or error.message.startswith("line "):
        return error
    return type(error)(f"line {line}: {error.message}", hint=error.hint)
