"""What earlier calls left to the next one: work, or a state in which it has nothing to do."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.store import Store


OFFICE_MARKS = "office.json", "certs/office.crt"  # files that lie in the folder of an office alone
_CERTIFIES = frozenset({"adopt", "broker issue", "ca proof", "register", "renew"})
_HANDS_OUT = frozenset({"export", "register", "renew"})


def refuse_at_this_kind(command: str, state: State) -> None:
    """End a command that makes no sense at a root or elsewhere, or that comes before a root's answer is here and out.

    Raises:
        PolicyError: it does.
        BusyError: brokers would not know the root that it hands out.
    """
    from iotonboard.state.kind import refuse_kind

    refuse_kind(state.store, command)
    if command in _CERTIFIES:
        from iotonboard.state.chain import refuse_waiting

        refuse_waiting(state.store)
        if state.store.meta("revoked_above"):
            from iotonboard.state.cas_above import refuse_revoked

            refuse_revoked(state.store)
    if command in _HANDS_OUT:
        from iotonboard.state.publication import lead_with_chain

        lead_with_chain(state)


def is_office(root: str) -> bool:
    """Say whether a folder is an office's: not a station's into which somebody put such a file."""
    if not any(os.path.exists(os.path.join(root, mark)) for mark in OFFICE_MARKS):
        return False
    from iotonboard.store.kind import is_stations

    return not is_stations(os.path.join(root, "devices.db"))


def refuse_office(root: str, command: str) -> None:
    """End a command for one CA's state in an office's folder.

    Raises:
        PolicyError: it is one.
    """
    if is_office(root):
        copy = "copy its folder, and what its registry lies in: iotonboard help office"
        hint = copy if command in {"backup", "restore"} else "name a station's state with --state"
        raise PolicyError(f"this is an office, without a CA: no {command!r} here", hint=hint)


def finish_earlier_calls(state: State, now: datetime) -> None:
    """Do what was left to the next command, whatever it is; most calls have nothing to do, and load nothing for it.

    Links that ended are taken away of the CAs too that were added to the state.
    """
    from iotonboard.store.left_to_do import has_erasures_left, has_expired_delivery

    if has_expired_delivery(state.store, now):
        from iotonboard.state.outbox import sweep_outbox

        sweep_outbox(state)
    if has_erasures_left(state.store):
        from iotonboard.state.erasure import finish_erasures

        finish_erasures(state)
    folder = os.path.join(state.paths.root, "cas")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if os.path.lexists(os.path.join(folder, name, "outbox")):
            with contextlib.suppress(IotOnboardError), opened_alone("", state, name):
                pass  # it does the same there


@contextlib.contextmanager
def opened_alone(command: str, state: State, name: str | None) -> Iterator[State]:
    """What a verb works on: the state, or the CA of that ``name`` which was added to it, and nothing else.

    Raises:
        PolicyError: the verb makes no sense there.
        NotFoundError: there is no such CA.
        StateError: its database is not there, or not the right one.
    """
    if name is None:
        yield state
        return
    from iotonboard.state.added_cas import open_added
    from iotonboard.state.kind import refuse_for_added

    refuse_for_added(command, name)
    with open_added(state, name) as added:
        finish_earlier_calls(added, added.note_dispute().trusted)
        yield added


@contextlib.contextmanager
def plant_watched(command: str, store: Store, now: datetime, tell: Callable[[str], object]) -> Iterator[None]:
    """Behind the block, tell what keeps the plant down, where it did so before and does still."""
    before = _plant_line(store, now) if command != "health" else ""  # which says it by itself
    try:
        yield
    finally:
        if before and _plant_line(store, now) == before:
            tell(f"warning: {before}")


def _plant_line(store: Store, now: datetime) -> str:
    """What keeps devices or revocations from working until somebody does something; empty where nothing does.

    From single values alone, which every command has read; ``health`` looks closer.
    """
    ends, number = store.moment("crl_ends"), store.number
    if ends is None:  # a state of an earlier version, until its next CRL
        from iotonboard.store.newest_lists import end_of_lists

        with contextlib.suppress(IotOnboardError):  # a damaged row, which stops no command here
            ends = end_of_lists(store)
    if ends is not None and ends < now:
        return f"the CRL ended on {rfc3339(ends)}: brokers refuse every device; type: iotonboard gen-crl"
    if number("unlisted_revocations"):
        return "not every revocation or release is on a CRL; type: iotonboard gen-crl"
    if (number("crl_published") or 0) < (number("crl_generation") or 0):
        return "the newest CRL is not published; type: iotonboard sync-acl"
    if (number("acl_published") or 0) < (number("acl_changes") or 0):
        return "the newest ACL is not published; type: iotonboard sync-acl"
    others = store.moment("trust_ends") if number("trust_ends") else None
    if others is not None and others < now:
        what = f"a list of a CA of others ended on {rfc3339(others)}: brokers refuse that fleet"
        return f"{what}; type: iotonboard ca trust add --crl FILE"
    return ""
