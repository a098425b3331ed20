"""The ACL of a state: what its managed region says, and whether the file says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.broker.region import devices_to_deny, dollar_roots, operator_acl, stream_operator_text
from iotonboard.broker.render import render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.files import PUBLIC, write_atomic
from iotonboard.model import from_epoch
from iotonboard.permissions import Placement, check_plain, group_number, placement_like, user_number
from iotonboard.reading import holds, read_pieces
from iotonboard.store.acl_members import denied_ids, permitted_ids
from iotonboard.store.crls import newest_update
from iotonboard.store.topics import extra_topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.state.state import State


def mark_acl(state: State) -> None:
    """Note, inside a transaction, that the ACL no longer says what the database says."""
    state.store.set_meta("acl_changes", (state.store.meta("acl_changes") or 0) + 1)


def write_acl(state: State, path: str, now: datetime, *, style: str | None = None) -> None:
    """Replace the managed region of the ACL at ``path``, leaving every other octet as it is.

    The caller holds the write lock.

    Raises:
        PolicyError: a topic rule or an operator's own line would break the broker; the old file stays.
        ConflictError: a link, or something that is no file, stands there.
        BusyError: the disk refuses; the old file stays.
    """
    write_atomic(path, render_acl(state, path, now, style=style), broker_placement(state, path))


def acl_is_current(state: State, path: str, now: datetime, *, style: str | None = None) -> bool:
    """Compare the ACL at ``path`` with what would be written, piece by piece: never whole in memory."""
    return os.path.exists(path) and holds(path, render_acl(state, path, now, style=style))


def render_acl(state: State, path: str, now: datetime, *, style: str | None = None) -> Iterator[bytes]:
    """The whole new text of the ACL at ``path``, checked piece by piece as the broker would read it."""
    check_plain(path)
    pieces = read_pieces(path) if os.path.exists(path) else ()
    operator = stream_operator_text(pieces)
    own_rules = operator_acl(operator)
    templates = [parse_topic_rule(text, template=True) for text in state.config["acl.topics"]]
    extra = extra_topics(state.store)
    denied = denied_ids(state.store, now, listed_since(state, now))
    roots = dollar_roots(own_rules)
    if (style or state.config["acl.style"]) == "pattern":
        region = render_region_pattern(templates, denied, extra, deny_roots=roots)
    else:
        region = render_region_per_device(
            permitted_ids(state.store, now),
            templates,
            extra=extra,
            denied=devices_to_deny(own_rules, denied),
            deny_roots=roots,
        )
    return replace_region(operator, region)


def listed_since(state: State, now: datetime) -> datetime:
    """A revoked certificate that expired before this moment was on a CRL after its expiry (RFC 5280 3.3).

    Of lists that began by either of the times when the clock is disputed.
    """
    return newest_update(state.store, min(now, state.read_clock().earliest)) or from_epoch(0)


def broker_placement(state: State, path: str) -> Placement:
    """Mode and owner of a file that the broker reads, and who must be able to read it where it is published.

    As configured, else as the existing file has them.
    """
    found = placement_like(path, PUBLIC)
    mode = int(state.config["broker.mode"], 8) if state.config["broker.mode"] else found.mode
    user, group = state.config["broker.user"], state.config["broker.group"]
    return Placement(
        mode,
        user_number(user) if user else found.uid,
        group_number(group) if group else found.gid,
        state.config.broker_reader if path in {state.paths.acl, state.paths.crl} else "",
        b"" if state.config["broker.mode"] else found.posix_acl,
    )
