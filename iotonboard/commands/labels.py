"""``labels``: sheets of QR labels for devices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.credentials import check_certificate
from iotonboard.delivery import labels
from iotonboard.disk.files import PUBLIC, refuse_existing, write_atomic
from iotonboard.errors import NotFoundError
from iotonboard.model import Refused
from iotonboard.store.devices import device_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.delivery.labels import Sheet
    from iotonboard.model import Target
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The files that were written, in the order of their pages."""

    labels: int
    pages: int
    paths: tuple[str, ...]
    refused: tuple[Refused, ...] = ()


def make_labels(cas: Opened, targets: Iterable[Target | Refused], sheet: Sheet, out: str, *, force: bool) -> Result:
    """Write one label for each device's newest certificate; ``out`` ends in ``.svg``, ``.png`` or ``.pdf``.

    A row of a list that is refused harms no other. Where no label is left, no file is written.

    Raises:
        NotFoundError: a device that was named is not there, or has no certificate; nothing was written.
        KeyUnavailableError: the certificate in a device's row is another one's.
        ConflictError: a file is there already and ``force`` was not asked for.
        UsageError: the libraries are missing, the labels too small or the kind unknown.
    """
    wanted: list[labels.Label] = []
    refused: list[Refused] = []
    for one in (_label_of(state, target) for state, run in cas.runs(targets) for target in run):
        if isinstance(one, Refused):
            refused.append(one)
        else:
            wanted.append(one)
    if not wanted:
        return Result(0, 0, (), tuple(refused))
    pages = list(labels.lay_out(wanted, sheet))
    stem, dot_kind = os.path.splitext(out)
    files = labels.render(pages, sheet, dot_kind.removeprefix(".").lower(), cas.around.clock())
    paths = [out, *(f"{stem}-{number}{dot_kind}" for number in range(2, len(files) + 1))]
    for path in paths:
        if not force:
            refuse_existing(path)
    for path, content in zip(paths, files, strict=True):
        write_atomic(path, content, PUBLIC)
    return Result(len(wanted), len(pages), tuple(paths), tuple(refused))


def _label_of(state: State, target: Target | Refused) -> labels.Label | Refused:
    if isinstance(target, Refused):
        return target
    try:
        return _label(state, target.device_id)
    except NotFoundError as error:
        if not target.line:
            raise
        return Refused(target.device_id, target.line, error)


def _label(state: State, device_id: str) -> labels.Label:
    device = device_record(state.store, device_id)
    if not device.certificates:
        raise NotFoundError(f"device {device_id!r} has no certificate", hint="register it first")
    newest = device.certificates[0]
    check_certificate(state, device.device_id, newest)
    return labels.Label(device.device_id, newest.serial, newest.fingerprint)
