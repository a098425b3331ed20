"""The state directory: who may change what is in it, and how it is published.

The database is the truth. A writing command records its change in one transaction and publishes in the
next, both under SQLite's write lock: ``State.transaction()`` first, ``State.publish()`` last. Publishing is
idempotent and made from committed rows only, so whatever a crash left undone is done by the next command.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.region import devices_to_deny, dollar_roots, operator_acl, stream_operator_text
from iotonboard.broker.render import render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.errors import BusyError, ConflictError, PolicyError, StateError
from iotonboard.files import (
    PUBLIC,
    erase_file,
    holds,
    make_private_dir,
    read_file,
    read_pieces,
    sweep_staging,
    sync_all,
    sync_tree,
    write_atomic,
)
from iotonboard.model import RevocationReason, from_epoch, rfc3339, to_epoch, whole_seconds
from iotonboard.permissions import Placement, check_plain, group_number, placement_like, user_number
from iotonboard.pki import pem
from iotonboard.pki.crl_entry import encode_entry
from iotonboard.state import config, device_files
from iotonboard.state.generations import keep_generation
from iotonboard.state.layout import resolve_paths
from iotonboard.state.outbox import Outbox
from iotonboard.store import audit
from iotonboard.store.acl import denied_ids, permitted_ids
from iotonboard.store.crls import generation_ders, newest_generation, newest_update
from iotonboard.store.deliveries import has_expired
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.pending import clear_pending, pending_files
from iotonboard.store.revocations import add_revocation, revocable, revocation_of, unlisted_revocations
from iotonboard.store.secrets import Kept, KeptGroup, add_purge, kept_before, kept_confirmed, purged_at, scrub_log
from iotonboard.store.store import Store
from iotonboard.store.topics import extra_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import Caller, SerialNumber
    from iotonboard.state.layout import Paths
    from iotonboard.store.pending import PendingFiles

    # Starts to write the files of a group elsewhere, and returns what waits until all are written.
    StartWriting = Callable[[Paths, list[PendingFiles]], Callable[[], None]]

PUBLISH_GROUP = 1024
_MANY = 16  # from so many devices on, one sync of everything costs less than one for each file
FIRST_CA = "1"  # row of the CA that 'init-ca' made: what ca.crt holds until another one is published


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory. ``clock`` answers aware UTC times in whole seconds."""

    paths: Paths
    config: config.Config
    store: Store
    caller: Caller
    clock: Callable[[], datetime]
    unsettled: dict[int, int] = field(default_factory=dict, repr=False)  # certificate row -> hash of what was written

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

    def publish(self, *, acl: bool = True, unsettled: int = 0) -> None:
        """Write every file that differs from the committed rows; leave all others alone.

        ``acl=False`` leaves the ACL to a later call: a batch publishes it once. With ``unsettled``, the files of so
        many devices may be written and not yet durable; until they are they stay noted as unwritten, so after a power
        cut the next command writes them again.

        Raises:
            PolicyError: an operator's own ACL lines would break the broker; nothing was replaced.
            BusyError: the disk refuses; the next command goes on from here.
        """
        self._apply_keep_keys()
        while self._publish_pending(unsettled):
            pass
        self.outbox.settle(whole_seconds(self.clock()))
        scrub_log(self.store)
        with self.store.transaction(durable=False):
            for folder in {self.paths.root, self.paths.certs, *map(os.path.dirname, (self.paths.acl, self.paths.crl))}:
                sweep_staging(folder)
            self._publish_crl()  # before the CA's certificate: without its CRL a broker refuses all of its devices
            self._publish_ca()
            if acl:
                self._publish_acl()
                keep_generation(self)

    @property
    def outbox(self) -> Outbox:
        """The temporary deliveries."""
        return Outbox(self.store, self.paths.outbox, self.paths.bundle, self.record)

    def sweep_outbox(self) -> None:
        """Clear expired deliveries away, whatever the command; one look when there are none.

        A reader does not wait for a writer, nor fail because the disk is read-only: the next command does it then.
        """
        now = whole_seconds(self.clock())
        if has_expired(self.store, now):
            with contextlib.suppress(BusyError), self.store.without_waiting():
                self.outbox.settle(now)

    def purge(self, kept: Kept, now: datetime, why: str) -> None:
        """Record that a certificate's secrets are erased, and erase them, inside the caller's transaction."""
        add_purge(self.store, kept.serial, now)
        self.record(now, kept.device_id, serial=kept.serial.hex, detail={"purged": why})

    def _apply_keep_keys(self) -> None:
        """Purge what the policy ``keep_keys`` says, from where the last call ended."""
        policy = str(self.config["keep_keys"])
        if policy == "always":
            return
        mark = f"keep_keys {policy.partition(':')[0]}"
        while group := self._due(policy, int(self.store.meta(mark) or 0)):
            with self.transaction() as now:
                for kept in group.kept:
                    if purged_at(self.store, kept.serial) is None:
                        self.purge(kept, now, policy)
                self.store.set_meta(mark, group.last)

    def _due(self, policy: str, after: int) -> KeptGroup | None:
        if policy == "until-confirmed":
            return kept_confirmed(self.store, after)
        days = int(policy.removeprefix("days:"))
        return kept_before(self.store, after, self.trusted_time() - timedelta(days=days))

    @contextlib.contextmanager
    def writing(self, start: StartWriting) -> Iterator[None]:
        """Inside a transaction, write the files of what was committed before while the block runs; not yet durable.

        Raises:
            BusyError: the disk refuses.
        """
        group = self._unwritten()
        finish = start(self.paths, group)
        try:
            yield
        finally:
            finish()
        self.unsettled.update((files.certificate, hash(files)) for files in group)

    def _unwritten(self) -> list[PendingFiles]:
        """The next files that were not written yet, with the folders made that theirs lie in."""
        group = pending_files(self.store, PUBLISH_GROUP, after=max(self.unsettled, default=0))
        self._make_parents(group)
        return group

    def _publish_pending(self, unsettled: int) -> bool:
        """Write one group of device and broker files; ``True`` while there may be more."""
        if not pending_files(self.store, 1):
            return False
        with self.store.transaction(durable=False):
            if len(self.unsettled) < unsettled:
                group = self._unwritten()
                device_files.write_all(self.paths, group)
                self.unsettled.update((files.certificate, hash(files)) for files in group)
                return len(group) == PUBLISH_GROUP
            limit = max(PUBLISH_GROUP, len(self.unsettled))
            group = pending_files(self.store, limit)
            self._settle(group)
            return len(group) == limit

    def _settle(self, group: list[PendingFiles]) -> None:
        """Make files durable, write those that nobody wrote yet, and note that all is done."""
        one_by_one = len(group) < _MANY
        self._make_parents(group)
        for files in group:
            if self.unsettled.get(files.certificate) != hash(files):
                device_files.write_files(self.paths, files, durable=one_by_one)
            elif one_by_one:
                sync_tree(device_files.folder_of(self.paths, files))
        if not one_by_one:
            sync_all(())
        clear_pending(self.store, (files.certificate for files in group))
        for files in group:
            self.unsettled.pop(files.certificate, None)

    def _make_parents(self, group: list[PendingFiles]) -> None:
        one_of_each = {files.is_broker: files for files in group}.values()
        for folder in {os.path.dirname(device_files.folder_of(self.paths, files)) for files in one_of_each}:
            make_private_dir(self.paths.certs)
            make_private_dir(folder)

    def _publish_ca(self) -> None:
        issuers = current_issuers(self.store)
        wanted = " ".join(str(issuer.id) for issuer in issuers)
        published = self.store.meta("ca_published")
        is_current = wanted == (FIRST_CA if published is None else published)
        if (is_current and os.path.exists(self.paths.ca_certificate)) or not os.path.isdir(self.paths.certs):
            return
        anchors = b"".join(pem.pem_encode("CERTIFICATE", issuer.der) for issuer in issuers)
        write_atomic(self.paths.ca_certificate, anchors, PUBLIC)
        for retired in {issuer.key_file for issuer in all_issuers(self.store)} - {one.key_file for one in issuers}:
            erase_file(os.path.join(self.paths.certs, retired))
        self.store.set_meta("ca_published", wanted)

    def _publish_crl(self) -> None:
        newest = newest_generation(self.store)
        published = self.store.meta("crl_published") or 0
        if newest < published:
            raise ConflictError(
                f"the database lost CRL generation {published}, which was published",
                hint="'iotonboard health --deep' names what was changed; bring the state back with 'restore --crl'",
            )
        if newest == published and os.path.exists(self.paths.crl):
            return
        if next(generation_ders(self.store), None) is None:
            return
        check_plain(self.paths.crl)
        pieces = (piece for der in generation_ders(self.store) for piece in pem.checked_pieces("X509 CRL", der))
        write_atomic(self.paths.crl, pieces, self.broker_placement(self.paths.crl))
        self.store.set_meta("crl_published", newest)

    def _publish_acl(self) -> None:
        changes = self.store.meta("acl_changes") or 0
        # The settings may have been edited by hand, or by a 'config set' that was killed before its COMMIT.
        settings = "\n".join((self.config["acl.style"], *self.config["acl.topics"]))
        is_current = changes == self.store.meta("acl_published") and settings == self.store.meta("acl_settings")
        if is_current and os.path.exists(self.paths.acl):
            return
        self.write_acl(self.paths.acl, self.trusted_time())
        self.store.set_meta("acl_settings", settings)
        self.store.set_meta("acl_published", changes)

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
