"""The ACL of a state: what its managed region says, and whether the file says so."""

from __future__ import annotations

import contextlib
import os
from itertools import filterfalse
from typing import TYPE_CHECKING

from iotonboard.broker import region, region_keep, render
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.permissions import Placement, check_plain, group_number, placement_like, user_number
from iotonboard.disk.reading import holds, read_file, read_pieces
from iotonboard.errors import PolicyError, Unpublished
from iotonboard.state import region_change
from iotonboard.store import topics
from iotonboard.store.acl_members import permitted_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from iotonboard.broker.region import Change, OperatorText
    from iotonboard.errors import ConflictError
    from iotonboard.state.denied import Denied
    from iotonboard.state.state import State

_LARGEST = 1 << 30


def mark_acl(state: State) -> None:
    """Note, inside a transaction, that the ACL no longer says what the database says."""
    if state.main is None:
        state.store.set_meta("acl_changes", (state.store.number("acl_changes") or 0) + 1)


def write_acl(state: State, path: str, now: datetime, denied: Denied, *, style: str | None = None) -> None:
    """Replace the managed region of the ACL at ``path``, leaving every other octet as it is.

    The caller holds the write lock. A region that another copy of this state wrote is met (``region_change``): it
    stays, and who is revoked here is silenced in it. ``denied``: what ``read_denied`` said.

    Raises:
        PolicyError: a topic rule or an operator's own line would break the broker; the old file stays.
        ConflictError: a link, or something that is no file, stands there.
        BusyError: the disk refuses; the old file stays.
    """
    text = renew_acl(state, path, now, denied, style=style)
    write_atomic(path, text, broker_placement(state, path))


def write_acl_around(state: State, path: str, text: bytes, now: datetime, denied: Denied) -> None:
    """Replace the whole ACL at ``path``: by a text that somebody wrote, with the region made anew in it or behind it.

    As ``write_acl``; a region in the text is one of this state.
    """
    operator = region.stream_operator_text([text])
    pieces = _render(state, path, operator, region_change.settle_change(state), now, denied, None)
    write_atomic(path, pieces, broker_placement(state, path))


def renew_acl(state: State, path: str, now: datetime, denied: Denied, *, style: str | None = None) -> Iterator[bytes]:
    """The whole new text of the ACL at ``path``, as ``write_acl`` writes it; the caller holds the write lock."""
    operator = _operator_text(path)
    region_change.meet_region(state, operator.change, path, now)
    return _render(state, path, operator, region_change.settle_change(state), now, denied, style)


def acl_is_current(state: State, path: str, now: datetime, denied: Denied, *, style: str | None = None) -> bool:
    """Compare the ACL at ``path`` with what would be written, piece by piece: never whole in memory.

    A region of a version that counted no changes is as good as one that does. ``denied`` as for ``write_acl``.
    """
    if not os.path.exists(path):
        return False
    operator = _operator_text(path)
    change = region_change.last_change(state) if operator.change or not operator.has_region else None
    return holds(path, _render(state, path, operator, change, now, denied, style))


def _operator_text(path: str) -> OperatorText:
    check_plain(path)
    return region.stream_operator_text(read_pieces(path) if os.path.exists(path) else ())


def _render(
    state: State,
    path: str,
    operator: OperatorText,
    change: Change | None,
    now: datetime,
    denied: Denied,
    style: str | None,
) -> Iterator[bytes]:
    """The text around a region that is made anew, or kept where another copy is at work; checked as it is read."""
    own_rules = region.operator_acl(operator)
    templates = [parse_topic_rule(text, template=True) for text in state.config["acl.topics"]]
    roots = region.dollar_roots(own_rules)
    if operator.has_region and region_change.other_copy(state):
        with contextlib.suppress(PolicyError):  # a region that the broker cannot read is not worth keeping
            whole = read_file(path, limit=_LARGEST)
            return region_keep.keep_region(whole, operator, denied.names, templates, deny_roots=roots, change=change)
    recorded = topics.extra_topics(state.store) if denied.rules is None else denied.rules
    extra = {name: rules for name, rules in recorded.items() if name not in denied.not_theirs}
    if (style or state.config["acl.style"]) == "pattern":
        managed = render.render_region_pattern(templates, denied.names, extra, deny_roots=roots)
    else:
        permitted = permitted_ids(state.store, now, denied.others)
        managed = render.render_region_per_device(
            filterfalse(denied.unlisted.__contains__, permitted) if denied.unlisted else permitted,
            templates,
            extra=extra,
            denied=region.devices_to_deny(own_rules, denied.names),
            deny_roots=roots,
        )
    return render.replace_region(operator, managed, change=change)


def tell_edits(state: State, edits: ConflictError | None, told: Sequence[Unpublished]) -> list[Unpublished]:
    """What ``Denied.told`` says of edited rows, beside what is ``told`` of the ACL already."""
    is_told = any(one.what == "acl" for one in told)
    return [Unpublished("acl", state.paths.acl, edits)] if edits and not is_told else []


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
        state.config.broker_reader if path in {state.paths.acl, state.paths.crl, state.paths.broker_ca} else "",
        b"" if state.config["broker.mode"] else found.posix_acl,
    )
