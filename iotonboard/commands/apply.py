"""``apply``: put a package in place on a broker's machine, or leave everything as it is. No state, no key.

The way of a package: signature, then of each part the newer one of the package and the machine, the same checks as
``verify``, a generation kept aside, three renames, a reload whose outcome is looked at, and the generation of before
when the broker does not take it.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_anchors
from iotonboard.broker.check import BrokerFiles, judge_files
from iotonboard.broker.destination import LARGEST, Destination, digests, open_destination
from iotonboard.broker.freshness import is_newest, known_before, record_of
from iotonboard.broker.merge import Merged, find_withdrawn, merge, take_as_it_is
from iotonboard.broker.merge_lists import FETCH
from iotonboard.broker.own_certificate import OwnPlace, put_own_in_place
from iotonboard.broker.package import ACL, CA, CRL, FILES, Package, read_package
from iotonboard.broker.problems import Problem
from iotonboard.broker.receipt import check_receipt_place, receipt_of, write_receipt
from iotonboard.broker.reload import find_broker, reload_broker
from iotonboard.broker.rules_there import check_own_rules
from iotonboard.broker.standing import stand
from iotonboard.errors import BusyError, ConflictError, IotOnboardError, PolicyError, Unpublished
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.applied import Applied
    from iotonboard.broker.reload_method import Method

# What makes a broker let everybody in, or end, is never taken for what was so before.
_NEVER_BEFORE = ("acl", "crl-unreadable", "ca-unreadable")


@dataclass(frozen=True, slots=True)
class Request:
    """What to apply, where, and how the broker is told. ``user`` is whom the broker runs as; empty: not checked.

    ``version`` is the broker's release; without one, what the package says of it.

    ``receipt`` names a file that takes what is in place in the end, of the machine ``host``; empty: none.
    """

    package: str
    ca: str
    dest: str
    version: Version | None
    user: str
    method: Method | None
    timeout_s: int
    keep: int
    accept_older: bool
    replace_rules: bool
    receipt: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The package that is in place now. ``previous`` is the generation of before, kept below ``generations``.

    ``merged`` says what is in place, and what is to be told of it; ``own`` is what it brought of the broker's own
    certificate. ``unpublished`` is what refused to be put in place, and ``unwritten`` what refused a receipt.
    """

    package: Package
    changed: bool
    previous: int | None
    reloaded: str
    ca_changed: bool
    warnings: tuple[Problem, ...]
    merged: Merged
    own: OwnPlace
    unpublished: tuple[Unpublished, ...] = ()
    unwritten: IotOnboardError | None = None

    @property
    def fork(self) -> ConflictError | None:
        """What is told of a fork, behind everything that could be put in place all the same."""
        return ConflictError("; ".join(self.merged.forked), hint=FETCH) if self.merged.forked else None


def apply(request: Request, now: datetime) -> Result:
    """Apply a package.

    Raises:
        NotFoundError: no such package, CA file, folder or broker.
        PolicyError: the package is foreign, damaged, older in all of its parts, or a broker would stumble over it;
            nothing was touched.
        ConflictError: it would lose a revocation, or delete rules that were written here; nothing was touched.
        BusyError: the broker did not take it: the files of before are back. Or the disk refuses all of it.
    """
    if request.receipt:
        check_receipt_place(request.receipt)
    anchors = read_anchors(request.ca)
    package = read_package(request.package, anchors)
    request = replace(request, version=request.version or package.manifest.broker_version)
    if request.method is not None:
        find_broker(request.method, timeout_s=request.timeout_s)
    largest = 2 * max(map(len, package.files.values()))
    with open_destination(request.dest) as destination:
        applied = _applied(destination, request)
        current = destination.current(limit=max(LARGEST, largest))
        merged = _merge(destination, package, anchors, applied, current, request)
        if ACL in current and not request.replace_rules and not _is_ours(destination, current[ACL], applied):
            check_own_rules(merged.acl_before or b"", merged.acl_after, destination.kept(ACL))
        result = _put_in_place(request, destination, package, applied, current, merged, now)
        unwritten = _write_receipt(request, destination, result, now) if request.receipt else None
        return replace(result, unwritten=unwritten)


def _write_receipt(request: Request, destination: Destination, result: Result, now: datetime) -> IotOnboardError | None:
    """Say in a file what is in place; returns what refused it, for everything else is done."""
    try:
        applied, manifest = destination.applied(), result.package.manifest
        receipt = receipt_of(
            destination.current() | {ACL: result.merged.acl_after},  # of stations that share it the package's own
            broker=request.host,
            path=os.path.realpath(request.dest),
            counter=applied.of(manifest.key).counter if applied else manifest.counter,
            is_read=bool(result.reloaded),
            now=now,
        )
        write_receipt(request.receipt, receipt)
    except IotOnboardError as error:
        return error
    return None


def _put_in_place(
    request: Request,
    destination: Destination,
    package: Package,
    applied: Applied | None,
    current: dict[str, bytes],
    merged: Merged,
    now: datetime,
) -> Result:
    counter, changed, refused = package.manifest.counter, current != merged.files, list[Unpublished]()
    folder = destination.keep(counter, merged.files)
    try:
        found = _check_files(folder, merged.files, request, now, current, package.judged_cas)
    except BaseException:
        if applied is None or applied.counter != counter:
            destination.forget(counter)
        raise
    warnings = _time_problem(package, request, now) + found
    previous = None
    if changed and current:
        previous = destination.generation_of(current)
        if previous == 0:
            destination.keep(previous, current)
    # Before anything is replaced: a kill in between leaves a package that can be applied again.
    destination.record(record_of(package, applied, merged, current))
    if changed:
        refused, aside = destination.put_in_place(merged.files, current, destination.unread(current))
        merged.dropped += [f"a file that cannot be read: it lies in {path!r}" for path in aside]
    own = _put_own(package, request, destination, applied, merged, current)
    try:
        reloaded = _reload(request, destination)
    except IotOnboardError as error:
        if not refused:
            own.put_back()
            raise _put_back(request, destination, previous, current, error, now, package.judged_cas) from error
        reloaded, refused = "", [*refused, Unpublished("reload", request.dest, error)]  # fresher than what was it is
    destination.thin(request.keep)
    ca_changed = CA in current and current[CA] != merged.files[CA]
    return Result(package, changed, previous, reloaded, ca_changed, warnings, merged, own, tuple(refused))


def _put_own(
    package: Package,
    request: Request,
    destination: Destination,
    applied: Applied | None,
    merged: Merged,
    current: dict[str, bytes],
) -> OwnPlace:
    """The broker's own certificate and configuration, where its key is here and the package is the newest."""
    before = applied.files if applied else {}
    if not is_newest(package, applied):
        return OwnPlace()
    try:
        own = put_own_in_place(package.files, request.dest, before)
    except IotOnboardError as error:  # a revocation does not wait for it
        return OwnPlace(problem=f"{error.message} ({error.hint})")
    if own.digests:
        recorded = record_of(package, applied, merged, current)
        destination.record(replace(recorded, files={**recorded.files, **own.digests}))
    return own


def _merge(
    destination: Destination,
    package: Package,
    anchors: Sequence[bytes],
    applied: Applied | None,
    current: dict[str, bytes],
    request: Request,
) -> Merged:
    """What is to be in place.

    Raises:
        PolicyError: nothing of an older package is newer than what is here, or the CA above withdrew who signed it.
        ConflictError: a revocation would be lost.
    """
    there = {**destination.newest_kept(destination.unread(current)), **current}
    withdrawn = find_withdrawn(package, there, anchors, applied)
    if not package.seal.holds(anchors, withdrawn.keys):
        raise PolicyError(
            "the CA that signed this package was revoked by the CA above it: nothing of it is taken",
            hint="nothing was touched; ask for a package of a station that is in force",
        )
    standing = stand(package, applied, anchors, there)
    is_new = is_newest(package, applied, standing)
    known = known_before(package, applied, partial(destination.kept, ACL), withdrawn, standing)
    if request.accept_older:
        return take_as_it_is(package, there, known)
    merged = merge(package, there, known)
    if ACL not in merged.files:
        raise PolicyError(
            "the package has no ACL, and there is none here",
            hint="correct on the workstation what 'iotonboard pack' names, and pack again",
        )
    if merged.files == current and (merged.is_behind or not (is_new or standing.ruling)):
        error = ConflictError if merged.is_behind and is_new else PolicyError
        raise error(
            f"package {package.manifest.counter} is older than what was applied here"
            f" ({'; '.join(merged.older) or 'by its counter'}): it would un-revoke what was revoked since",
            hint="apply the newest package; --accept-older when you know why this one must go in"
            if not merged.is_behind or not is_new
            else FETCH,
        )
    return merged


def _applied(destination: Destination, request: Request) -> Applied | None:
    try:
        return destination.applied()
    except PolicyError:
        if request.accept_older:
            return None
        raise


def _is_ours(destination: Destination, acl: bytes, applied: Applied | None) -> bool:
    """Say whether the ACL there is one that a package brought, untouched since.

    The last package's, or that of one before it: a kill or a failed reload leaves the files of before.
    """
    files = {ACL: acl}
    is_last = applied is not None and digests(files)[ACL] == applied.files.get(ACL)
    return is_last or destination.generation_of(files) > 0


def _time_problem(package: Package, request: Request, now: datetime) -> tuple[Problem, ...]:
    """A package out of its time, by the clock of this machine, which may be the one that is wrong: a warning."""
    manifest = package.manifest
    if manifest.not_before <= now < manifest.expires:
        return ()
    when = f"from {rfc3339(manifest.not_before)} to {rfc3339(manifest.expires)}"
    message = f"this package is meant to be applied {when}, and the clock says {rfc3339(now)}"
    return (Problem(request.package, "package-time", message, warning=True),)


def _check_files(
    folder: str,
    files: dict[str, bytes],
    request: Request,
    now: datetime,
    current: dict[str, bytes],
    own: frozenset[str],
) -> tuple[Problem, ...]:
    """Judge the files as the broker will meet them; the folder has their owners and modes.

    What a CA or list beside our ``own`` does to its own devices stands in nobody's way, nor what this machine's clock
    does to all of them where it was so before.
    """
    problems = _judge(folder, files, request, now)
    failing = [problem for problem in problems if not problem.warning and problem.concerns(own)]
    if failing and current.keys() >= set(FILES):
        before = {_kind(problem) for problem in _judge(request.dest, current, request, now)}
        failing = [one for one in failing if one.code.startswith(_NEVER_BEFORE) or _kind(one) not in before]
    if failing:
        first = failing[0]
        raise PolicyError(
            f"the broker would stumble over this package: {os.path.basename(first.path)}: {first.message}"
            + (f" (and {len(failing) - 1} more)" if failing[1:] else ""),
            hint="nothing was touched; correct it on the workstation and pack again, or correct owner and mode here",
        )
    return problems


def _kind(problem: Problem) -> tuple[str, str]:
    """A problem without the numbers and times of a single list."""
    return problem.code, re.sub(r"[0-9]+", "", problem.message)


def _judge(folder: str, files: dict[str, bytes], request: Request, now: datetime) -> tuple[Problem, ...]:
    paths = {name: os.path.join(folder, name) for name in FILES}
    contents = {paths[name]: content for name, content in files.items()}
    where = paths[ACL], paths[CRL], paths[CA]
    return judge_files(BrokerFiles(*where, now, request.version or "2.0", request.user, contents=contents)).problems


def _reload(request: Request, destination: Destination) -> str:
    if request.method is None:
        return ""
    paths = (destination.file(ACL), destination.file(CRL))
    return reload_broker(request.method, paths, timeout_s=request.timeout_s, is_here=True)


def _put_back(
    request: Request,
    destination: Destination,
    previous: int | None,
    current: dict[str, bytes],
    error: IotOnboardError,
    now: datetime,
    own: frozenset[str],
) -> IotOnboardError:
    """Bring the files of before back and tell the broker, unless it would stumble over them; returns what to raise."""
    if previous is None:
        return error
    destination.replace(current, backwards=True)
    again = "start the broker if it ended, correct what stopped it, and run the same command again"
    with contextlib.suppress(IotOnboardError):
        _check_files(destination.path, current, request, now, {}, own)
        _reload(request, destination)
        again = "the broker reads them; correct what stopped it and run the same command again"
    return BusyError(
        f"{error.message}; the files of before are back, what was revoked since them is not in force",
        hint=f"{error.hint}; {again}" if error.hint else again,
    )
