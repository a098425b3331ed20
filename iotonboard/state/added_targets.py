"""Which CA of a state a device, a certificate or a row of a list is of: the state's own, or one that was added."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError, Unpublished
from iotonboard.model import Refused, SerialNumber, Target
from iotonboard.state.layout import ADDED_CAS
from iotonboard.store import table_scan
from iotonboard.store.certificates import has_certificate
from iotonboard.store.devices import find_device
from iotonboard.store.recalled import issued_to

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State
    from iotonboard.store.store import Store


def name_of_added(state: State) -> str:
    """Name of the added CA that a state is of; empty for a state that stands alone."""
    return os.path.basename(state.paths.root) if state.main else ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is meant of one CA: its state, and the targets there in their order."""

    state: State
    targets: list[Target | Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Divided:
    """The parts, and of each added CA that could not be asked whether it has a device, why: it is told."""

    parts: list[Part]
    unasked: list[Unpublished]


def divide(cas: Opened, targets: Iterable[Target | Refused]) -> Divided:
    """Targets by the CA that they are of, that of the state first; a device of several is meant in each.

    Damaged indexes hide none: rows and trails are asked too. What nobody knows is left to the state, which says so.
    """
    state, unasked = cas.around, dict[str, Unpublished]()
    parts = {"": Part(state)}
    for target in targets:
        names = [""]
        if isinstance(target, Target) and cas.names:
            names, problems = _all_holders(cas, target)
            if names:
                unasked |= problems
            elif problems:
                error = next(iter(problems.values())).error
                target = Refused(target.device_id, target.line, error)  # noqa: PLW2901 - in its place
        for name in names or [""]:
            parts.setdefault(name, Part(cas.state(name) if name else state)).targets.append(target)
    return Divided([part for part in parts.values() if part.targets] or [Part(state)], list(unasked.values()))


def _all_holders(cas: Opened, target: Target) -> tuple[list[str], dict[str, Unpublished]]:
    """Every CA that has a target, by name; and those that cannot be asked."""
    found, problems = list[str](), dict[str, Unpublished]()
    for name in ("", *cas.names):
        if target.serial and found:  # one CA alone made that
            break
        try:
            store = cas.state(name).store if name else cas.around.store
            if _knows(store, target) or _once_knew(store, target):
                found.append(name)
        except IotOnboardError as error:
            if not name:
                found.append(name)  # which says it itself
            else:
                path = os.path.join(cas.around.paths.root, ADDED_CAS, name)
                problems[name] = Unpublished("crl", path, error, is_unsigned=True)
    return found, problems


def holders(cas: Opened, target: Target) -> list[str]:
    """The CAs that have a target, by their names: that of the state, which is empty, first; it also where none has.

    Raises:
        IotOnboardError: the state does not know it, and an added CA that may cannot be opened.
    """
    found = [""] if _knows(cas.around.store, target) else []
    problem = None
    for name in cas.names:
        try:
            if _knows(cas.state(name).store, target):
                found.append(name)
        except IotOnboardError as error:
            problem = problem or error
    if found:
        return found
    if problem:
        raise problem
    return [next((name for name in cas.names if _once_knew(cas.state(name).store, target)), "")]


def _knows(store: Store, target: Target) -> bool:
    if not target.serial:
        return find_device(store, target.device_id) is not None
    with contextlib.suppress(IotOnboardError):  # whoever takes the target says what is wrong with it
        return has_certificate(store, SerialNumber.from_hex(target.serial))
    return False


def _once_knew(store: Store, target: Target) -> bool:
    """Say whether rows that no index finds, or the trail, know a target."""
    scan = table_scan.TableScan(store)
    if not target.serial:
        return scan.has_device(target.device_id) or bool(issued_to(store, target.device_id))
    with contextlib.suppress(IotOnboardError):
        return scan.has_certificate(SerialNumber.from_hex(target.serial))
    return False
