"""What is recorded of a certificate that was issued to a device, inside the transaction of its group."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca import recorded
from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339
from iotonboard.store import keys, profiles
from iotonboard.store.certificates import add_certificate
from iotonboard.store.pending import add_pending

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.enrolment.desk import Issued, Order
    from iotonboard.state.state import State


def record_certificate(
    state: State,
    authority: Authority,
    order: Order,
    issued: Issued,
    *,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Record a certificate, its files and its audit row, inside the caller's transaction."""
    new = issued.certificate
    add_certificate(state.store, new, issuer=authority.active.row, device_id=order.device_id, now=now)
    if order.profile:
        profiles.note_profile(state.store, order.serial, order.profile_content)
    add_pending(state.store, new.serial, issued.bundle)
    facts: dict[str, object] = {
        "fingerprint": new.fingerprint,
        "key": "device" if order.csr_spki_der else "workstation",
        "not_after": rfc3339(order.validity.not_after),
        **(detail or {}),
    }
    if order.profile:
        facts["profile"] = order.profile.name
    if issued.bundle:
        facts["bundle"] = sha256(issued.bundle).hexdigest()
    state.record(now, order.device_id, serial=order.serial.hex, detail=facts)


def refuse_used_key(state: State, order: Order, issued: Issued) -> None:
    """Refuse a public key that was not made here and now, where it is another device's.

    Raises:
        PolicyError: the key is somebody else's, or was revoked as keyCompromise.
    """
    if not (order.csr_spki_der or order.kept_key):
        return
    recorded.refuse_compromised_key(state, issued.certificate.spki_sha256)
    holder = keys.key_holder(state.store, issued.certificate.spki_sha256)
    if holder is None:
        return
    if holder.is_compromised:
        raise PolicyError(
            f"this public key was revoked as keyCompromise (device {holder.name!r})",
            hint="make a new key on the device",
        )
    if holder.name != order.device_id:
        raise PolicyError(
            f"this public key already has a certificate for {holder.name!r}",
            hint="every device needs a key of its own",
        )
