"""Whom another copy of this state shut out on no list: told, and put on hold, before this copy counts alone.

A revocation that the other copy only recorded (``--defer``), or a right that it took away, stands in its region of the
ACL and nowhere else. That region is replaced as soon as somebody settles which copy counts. So where the ACL in place
was written by the other one, or made of what it wrote, whoever it shuts out is put on hold here; ``release`` ends that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.acl import parse_acl
from iotonboard.broker.denials import silenced, with_rights
from iotonboard.broker.region import stream_operator_text
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError
from iotonboard.model import RevocationReason
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.places import Place, check_here
from iotonboard.state.region_change import other_copy
from iotonboard.store.acl_members import members
from iotonboard.store.revocations import revocable
from iotonboard.store.topics import extra_topics

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.state import State

_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the other copy's region says and no list does.

    ``held``: devices that it shuts out, on hold now. ``missing``: those that it lacks, and may never have known, since
    they are younger here than all that it has. ``topics``: those that have topics of their own here that it lacks.
    ``unread``: why it could not be asked.
    """

    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    unread: IotOnboardError | None = None


def hold_denied(state: State, now: datetime) -> Elsewhere:
    """Put on hold whom the ACL in place shuts out, inside the transaction that takes up the other copy's lists.

    Behind these, so that who is on a list is revoked for its reason.
    """
    if not other_copy(state):
        return Elsewhere()
    try:
        check_here(state, Place.ACL)
        if not os.path.exists(state.paths.acl):
            return Elsewhere()
        acl = read_file(state.paths.acl, limit=_LARGEST)
        if not stream_operator_text([acl]).has_region:
            return Elsewhere()
        rules = parse_acl(acl)
    except IotOnboardError as error:
        return Elsewhere(unread=error)
    devices = {one.device_id: one for one in members(state.store, now)}
    let_in = with_rights(acl, devices)
    # What both have, the other copy had when it was made: it had all that is older here, too.
    known = max((devices[name].first for name in let_in), default=0)
    denied = silenced(acl)
    out = [one for name, one in devices.items() if name not in let_in]
    held = tuple(one.device_id for one in out if one.valid <= known or one.device_id in denied)
    for device_id in held:
        serials = revocable(state.store, device_id, now)
        revoke_certificates(state, serials, RevocationReason.CERTIFICATE_HOLD, now, subject=device_id)
    missing = tuple(one.device_id for one in out if one.device_id not in held)
    own = {name: {(one.access, one.topic) for one in of} for name, of in rules.users.items()}
    topics = tuple(
        name
        for name, wanted in extra_topics(state.store).items()
        if name in let_in and any((one.access, one.topic) not in own.get(name, ()) for one in wanted)
    )
    return Elsewhere(held, missing, topics)
