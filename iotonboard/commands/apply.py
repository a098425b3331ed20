"""``apply``: put a package in place on a broker's machine, or leave everything as it is. No state, no key.

The way of a package: signature, validity, counter, the same checks as ``verify``, a generation kept aside, three
renames, a reload whose outcome is looked at, and the generation of before when the broker does not take it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.broker.check import BrokerFiles, judge_files
from iotonboard.broker.destination import Applied, Destination, check_own_rules, digests
from iotonboard.broker.package import ACL, CA, CRL, Package, read_package
from iotonboard.broker.pem_views import view_client
from iotonboard.broker.reload import find_broker, reload_broker
from iotonboard.errors import BusyError, IotOnboardError, PolicyError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.broker.problems import Problem
    from iotonboard.broker.reload import Method


@dataclass(frozen=True, slots=True)
class Request:
    """What to apply, where, and how the broker is told. ``user`` is whom the broker runs as; empty: not checked."""

    package: str
    ca: str
    dest: str
    version: Version
    user: str
    method: Method | None
    timeout_s: int
    keep: int
    accept_older: bool
    replace_rules: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The package that is in place now. ``previous`` is the generation of before, kept below ``generations``."""

    package: Package
    changed: bool
    previous: int | None
    reloaded: str
    ca_changed: bool
    warnings: tuple[Problem, ...]


def apply(request: Request, now: datetime) -> Result:
    """Apply a package.

    Raises:
        NotFoundError: no such package, CA file, folder or broker.
        PolicyError: the package is foreign, damaged, too old, not valid now, or a broker would stumble over it;
            nothing was touched.
        ConflictError: it would delete rules that were written on this machine; nothing was touched.
        BusyError: the broker did not take it: the files of before are back. Or the disk refuses.
    """
    package = read_package(request.package, _read_anchors(request.ca))
    _check_time(package, now)
    if request.method is not None:
        find_broker(request.method, timeout_s=request.timeout_s)
    destination = Destination(request.dest)
    with destination.hold():
        applied = _applied(destination, request)
        _check_counter(package, applied, request)
        current = destination.current()
        if ACL in current and not request.replace_rules and not _is_ours(destination, current[ACL], applied):
            check_own_rules(current[ACL], package.files[ACL])
        return _put_in_place(request, destination, package, applied, current, now)


def _read_anchors(path: str) -> list[bytes]:
    """Read the CAs of a file, DER. A device's certificate beside them signs no package, whoever has its key."""
    anchors = [der for der in read_certificate_file(path) if (view := view_client(der)) and view.is_ca]
    if not anchors:
        raise PolicyError(f"{path!r} holds no CA certificate", hint="name the ca.crt of the state with --ca")
    return anchors


def _put_in_place(
    request: Request,
    destination: Destination,
    package: Package,
    applied: Applied | None,
    current: dict[str, bytes],
    now: datetime,
) -> Result:
    counter, changed = package.manifest.counter, current != package.files
    folder = destination.keep(counter, package.files)
    try:
        warnings = _check_files(folder, request, now)
    except BaseException:
        if applied is None or applied.counter != counter:
            destination.forget(counter)
        raise
    previous = None
    if changed and current:
        previous = destination.generation_of(current)
        if previous == 0:
            destination.keep(previous, current)
    # Remembered before anything is replaced: a kill in between leaves a package that can be applied again.
    destination.record(Applied(counter, package.digest, digests(package.files)))
    if changed:
        destination.replace(package.files)
    try:
        reloaded = _reload(request, destination)
    except IotOnboardError as error:
        raise _put_back(request, destination, previous, current, error, now) from error
    destination.thin(request.keep)
    ca_changed = CA in current and current[CA] != package.files[CA]
    return Result(package, changed, previous, reloaded, ca_changed, warnings)


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


def _check_time(package: Package, now: datetime) -> None:
    manifest = package.manifest
    if not manifest.not_before <= now < manifest.expires:
        when = f"from {rfc3339(manifest.not_before)} to {rfc3339(manifest.expires)}"
        raise PolicyError(
            f"this package can be applied {when}, and the clock says {rfc3339(now)}",
            hint="check the clock of this machine; if it is right, ask for a new package ('iotonboard pack')",
        )


def _check_counter(package: Package, applied: Applied | None, request: Request) -> None:
    if applied is None or request.accept_older or package.manifest.counter > applied.counter:
        return
    if package.digest != applied.digest:
        raise PolicyError(
            f"package {package.manifest.counter} is older than {applied.counter}, which was applied here:"
            " it would un-revoke what was revoked since",
            hint="apply the newest package; --accept-older when you know why this one must go in",
        )


def _check_files(folder: str, request: Request, now: datetime) -> tuple[Problem, ...]:
    """Judge the files as the broker will meet them; the folder has their owners and modes."""
    acl, crl, ca = (os.path.join(folder, name) for name in (ACL, CRL, CA))
    problems = judge_files(BrokerFiles(acl, crl, ca, now, request.version, request.user)).problems
    failing = [problem for problem in problems if not problem.warning]
    if failing:
        first = failing[0]
        raise PolicyError(
            f"the broker would stumble over this package: {os.path.basename(first.path)}: {first.message}"
            + (f" (and {len(failing) - 1} more)" if failing[1:] else ""),
            hint="nothing was touched; correct it on the workstation and pack again, or correct owner and mode here",
        )
    return problems


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
) -> IotOnboardError:
    """Bring the files of before back and tell the broker, unless it would stumble over them; returns what to raise."""
    if previous is None:
        return error
    destination.replace(current, backwards=True)
    again = "start the broker if it ended, correct what stopped it, and run the same command again"
    with contextlib.suppress(IotOnboardError):
        _check_files(destination.path, request, now)
        _reload(request, destination)
        again = "the broker reads them; correct what stopped it and run the same command again"
    return BusyError(
        f"{error.message}; the files of before are back, what was revoked since them is not in force",
        hint=f"{error.hint}; {again}" if error.hint else again,
    )
