"""The CSV that takes bundle passwords when they are not to be printed: ``device_id,serial,bundle_password``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from iotonboard.disk.csv_form import EXCEL, PLAIN
from iotonboard.disk.files import open_to_append
from iotonboard.disk.permissions import check_replaceable, keeps_modes, warn_if_open
from iotonboard.errors import ConflictError, disk_error

if TYPE_CHECKING:
    from typing import Self

    from iotonboard.disk.csv_form import CsvForm

_HEADER = ("device_id", "serial", "bundle_password")


class PasswordFile:
    """Opened for appending, created with mode 0600; every line is on the disk before the device is answered.

    Raises:
        ConflictError: the path is a link, not a file, or others may read it.
        BusyError: the disk refuses.
    """

    def __init__(self, path: str, form: CsvForm = PLAIN) -> None:
        """``form``: of a file that is new; one that is there keeps its own."""
        self._path = path
        if os.path.islink(path):
            raise ConflictError(f"{path!r} is a link", hint="name the file itself")
        check_replaceable(path)
        self._file = open_to_append(path)
        self._descriptor = self._file.fileno()
        try:
            _check(path, os.fstat(self._descriptor).st_mode)
        except BaseException:
            self._file.close()
            raise
        self._cut_off_rest()
        lines = self._read_lines()
        self._form = form if not lines else EXCEL if lines[0].startswith(EXCEL.mark) else PLAIN
        rows = map(self._form.values, lines)
        self._known = {row[1] for row in rows if len(row) == len(_HEADER)}
        if not lines:
            self._write(self._form.head(_HEADER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def _cut_off_rest(self) -> None:
        """Take away a last line that a killed call began and did not end: its password can be made again."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            content = file.read()
        if content and not content.endswith(b"\n"):
            os.ftruncate(self._descriptor, content.rfind(b"\n") + 1)

    def holds(self, serial_hex: str) -> bool:
        """Say whether the password of that certificate's bundle is in the file."""
        return serial_hex in self._known

    def _read_lines(self) -> list[str]:
        with os.fdopen(os.dup(self._descriptor), "r", encoding="utf-8", newline="") as file:
            file.seek(0)
            return file.readlines()

    def add(self, device_id: str, serial_hex: str, password: str) -> None:
        """Append one line, unless that serial is there already."""
        if serial_hex not in self._known:
            self._write(self._form.row((device_id, serial_hex, password)).encode("utf-8"))
            self._known.add(serial_hex)

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._descriptor, line)
            os.fsync(self._descriptor)
        except OSError as error:
            raise disk_error(error, self._path) from error


def _check(path: str, mode: int) -> None:
    """Refuse what is no file, and one that others may read, unless its disk lets them read every file."""
    if not stat.S_ISREG(mode):
        raise ConflictError(f"{path!r} is not a file", hint="name a file")
    if os.name != "posix" or not stat.S_IMODE(mode) & 0o077:
        return
    if keeps_modes(os.path.dirname(path) or "."):
        raise ConflictError(f"others may read {path!r}", hint=f"type: chmod 600 {path}")
    warn_if_open(path, mode, 0o600)
