"""One open state directory: who may change what is in it.

The database is the truth. A command that writes records its change in one ``State.transaction()`` and publishes in
another (``state/publication.py``), both under SQLite's write lock. Publishing is made from committed rows only, so
whatever a crash left undone is done by the next command.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.region import devices_to_deny, dollar_roots, operator_acl, stream_operator_text
from iotonboard.broker.render import render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.errors import ConflictError, PolicyError, StateError
from iotonboard.files import (
    PUBLIC,
    holds,
    read_file,
    read_pieces,
    write_atomic,
)
from iotonboard.model import RevocationReason, from_epoch, rfc3339, to_epoch, whole_seconds
from iotonboard.permissions import Placement, check_plain, group_number, placement_like, user_number
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.state import config
from iotonboard.state.layout import resolve_paths
from iotonboard.store import audit
from iotonboard.store.acl import denied_ids, permitted_ids
from iotonboard.store.crls import newest_update
from iotonboard.store.revocations import add_revocation, revocable, revocation_of, unlisted_revocations
from iotonboard.store.secrets import Kept, add_purge
from iotonboard.store.store import Store
from iotonboard.store.topics import extra_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import Caller, SerialNumber
    from iotonboard.state.layout import Paths


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory. ``clock`` answers aware UTC times in whole seconds."""

    paths: Paths
    config: config.Config
    store: Store
    caller: Caller
    clock: Callable[[], datetime]

    @contextlib.contextmanager
    def transaction(self, *, signing: bool = False) -> Iterator[datetime]:
        """Hold the write lock around one change; yields the time of the event.

        ``signing`` commands are stopped by a clock that cannot be right; others go on, and do not make it the measure.

        Raises:
            PolicyError: the clock went back past the allowed skew, or far ahead.
            BusyError: the lock was not to be had in time.
        """
        with self.store.transaction():
            now = whole_seconds(self.clock())
            last = self.store.meta("last_event")
            problem = None if last is None else clock_problem(now, from_epoch(last), self.config)
            if problem and signing:
                raise problem
            before = audit.head(self.store)
            yield now
            if not problem and audit.head(self.store) != before:
                self.store.set_meta("last_event", max(to_epoch(now), last or 0))

    def trusted_time(self) -> datetime:
        """The clock's time, or that of the last event where the clock cannot be right: by it nothing has expired."""
        now, last = whole_seconds(self.clock()), self.store.meta("last_event")
        is_right = last is None or clock_problem(now, from_epoch(last), self.config) is None
        return now if is_right else from_epoch(last)

    def record(
        self, now: datetime, subject: str, *, serial: str = "", detail: Mapping[str, object] | None = None
    ) -> None:
        """Append a row to the audit trail, inside the caller's transaction."""
        audit.append(self.store, self.caller, now, subject=subject, serial=serial, detail=detail)

    def mark_acl(self) -> None:
        """Note, inside a transaction, that the ACL no longer says what the database says."""
        self.store.set_meta("acl_changes", (self.store.meta("acl_changes") or 0) + 1)

    def revoke(self, serials: Iterable[SerialNumber], reason: RevocationReason, now: datetime, *, subject: str) -> None:
        """Record revocations, CRL entries and audit rows, in the caller's transaction; only a hold's date changes."""
        for serial in serials:
            earlier = revocation_of(self.store, serial)
            date = now if earlier is None or earlier.is_hold else earlier.revocation_date
            add_revocation(self.store, serial, date, reason, encode_entry(serial, date, reason))
            self.record(now, subject, serial=serial.hex, detail={"revoked": reason.value})
            self.store.set_meta("unlisted_revocations", unlisted_revocations(self.store) + 1)
        self.mark_acl()

    def supersede(self, device_id: str, now: datetime) -> bool:
        """Revoke a device's valid certificates because a new one takes their place; ``True`` when there were any."""
        old = revocable(self.store, device_id, now, RevocationReason.SUPERSEDED)
        if old:
            self.revoke(old, RevocationReason.SUPERSEDED, now, subject=device_id)
        return bool(old)

    def purge(self, kept: Kept, now: datetime, why: str) -> None:
        """Record that a certificate's secrets are erased, and erase them, inside the caller's transaction."""
        add_purge(self.store, kept.serial, now)
        self.record(now, kept.device_id, serial=kept.serial.hex, detail={"purged": why})

    def write_acl(self, path: str, now: datetime, *, style: str | None = None) -> None:
        """Replace the managed region of the ACL at ``path``, leaving every other octet as it is.

        The caller holds the write lock.
        """
        write_atomic(path, self.render_acl(path, now, style=style), self.broker_placement(path))

    def acl_is_current(self, path: str, now: datetime, *, style: str | None = None) -> bool:
        """Compare the ACL at ``path`` with what would be written, piece by piece: never whole in memory."""
        return os.path.exists(path) and holds(path, self.render_acl(path, now, style=style))

    def render_acl(self, path: str, now: datetime, *, style: str | None = None) -> Iterator[bytes]:
        """The whole new text of the ACL at ``path``, checked piece by piece as the broker would read it."""
        check_plain(path)
        pieces = read_pieces(path) if os.path.exists(path) else ()
        operator = stream_operator_text(pieces)
        own_rules = operator_acl(operator)
        templates = [parse_topic_rule(text, template=True) for text in self.config["acl.topics"]]
        extra = extra_topics(self.store)
        denied = denied_ids(self.store, now, self.listed_since(now))
        roots = dollar_roots(own_rules)
        if (style or self.config["acl.style"]) == "pattern":
            region = render_region_pattern(templates, denied, extra, deny_roots=roots)
        else:
            region = render_region_per_device(
                permitted_ids(self.store, now),
                templates,
                extra=extra,
                denied=devices_to_deny(own_rules, denied),
                deny_roots=roots,
            )
        return replace_region(operator, region)

    def listed_since(self, now: datetime) -> datetime:
        """A revoked certificate that expired before this moment was on a CRL after its expiry (RFC 5280 3.3)."""
        return newest_update(self.store, now) or from_epoch(0)

    def broker_placement(self, path: str) -> Placement:
        """Mode and owner of a file that the broker reads, and who must be able to read it where it is published.

        As configured, else as the existing file has them.
        """
        found = placement_like(path, PUBLIC)
        mode = int(self.config["broker.mode"], 8) if self.config["broker.mode"] else found.mode
        user, group = self.config["broker.user"], self.config["broker.group"]
        return Placement(
            mode,
            user_number(user) if user else found.uid,
            group_number(group) if group else found.gid,
            self.config.broker_reader if path in {self.paths.acl, self.paths.crl} else "",
        )


def clock_problem(now: datetime, last: datetime, settings: config.Config) -> PolicyError | None:
    """Why a clock cannot be right, seen from the time of the last recorded event.

    It is earlier than that by more than the skew, or later by more than the allowed jump.
    """
    skew = timedelta(minutes=max(settings["not_before_skew_minutes"], 1))
    jump = timedelta(days=settings["max_clock_jump_days"])
    if last - skew <= now <= last + jump:
        return None
    direction = "behind" if now < last else "ahead of"
    return PolicyError(
        f"the clock says {rfc3339(now)}, far {direction} the last event at {rfc3339(last)}",
        hint="set the clock; when it is right, 'iotonboard accept-clock' goes on from there",
    )


def is_initialised(paths: Paths) -> bool:
    """Say whether a finished ``init-ca`` made this state."""
    return os.path.exists(paths.database)


def load_settings(root: str, environment: Mapping[str, str]) -> config.Config:
    """Read ``iotonboard.toml`` of a state directory, if any, and resolve every setting.

    Raises:
        PolicyError: a value is not allowed, or a topic rule would break the broker.
    """
    path = os.path.join(root, config.FILE_NAME)
    text = None
    if os.path.exists(path):
        try:
            text = read_file(path, limit=1 << 20).decode("utf-8")
        except UnicodeDecodeError:
            raise PolicyError(f"{path!r} is not UTF-8 text", hint="correct the file, or restore it") from None
    settings = config.load_config(text, environment)
    for rule in settings["acl.topics"]:  # before anything is committed that could then not be published
        parse_topic_rule(rule, template=True)
    return settings


@contextlib.contextmanager
def open_state(
    root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime]
) -> Iterator[State]:
    """Open an existing state directory.

    Raises:
        StateError: there is none here, it was never finished, is damaged, or a newer version made it.
    """
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    if not is_initialised(paths):
        raise StateError(
            f"there is no state in {root!r}",
            hint="'iotonboard init-ca' makes one; or name the right folder with --state or IOTONBOARD_STATE",
        )
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock())
    try:
        if store.meta("initialised") is None:
            raise StateError(
                f"'init-ca' was interrupted in {root!r}",
                hint="run the same 'iotonboard init-ca' again to finish it",
            )
        yield State(paths, settings, store, caller, clock)
    finally:
        store.close()


def refuse_existing(path: str, *, hint: str = "choose another name, or --force to replace it") -> None:
    """Refuse to write over something.

    Raises:
        ConflictError: ``path`` exists, even as a broken link.
    """
    if os.path.lexists(path):
        raise ConflictError(f"{path!r} exists already", hint=hint)
