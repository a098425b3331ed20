"""What a batch leaves for the line: a results file, and a manifest that the CA signed.

The results file is CSV, for programs or as Excel wants it, or JSON lines when its name ends in ``.jsonl``; ``confirm``
and ``revoke`` read it. The manifest lists the devices that got a certificate, one a line: id, serial, fingerprint and
time, separated by tabs, below the line ``iotonboard manifest v1``. ``FILE.manifest.sig`` is the CA's signature over its
octets, for ``openssl dgst``.
"""

from __future__ import annotations

import csv
import io
import json
import mmap
import os
from typing import TYPE_CHECKING

from iotonboard.disk import beforehand
from iotonboard.disk.csv_form import EXCEL, PLAIN
from iotonboard.disk.files import (
    PRIVATE,
    changing,
    create_exclusive,
    make_private_dir,
    open_to_append,
    remove_file,
    sync_together,
    write_atomic,
)
from iotonboard.disk.reading import open_file, read_file
from iotonboard.enrolment.list_columns import RESULTS as COLUMNS
from iotonboard.errors import ConflictError, PolicyError, disk_error
from iotonboard.model import Refused, SerialNumber, rfc3339
from iotonboard.pki.signatures import sign_statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from io import FileIO

    from iotonboard.disk.csv_form import CsvForm
    from iotonboard.enrolment.batch import Enrolled
    from iotonboard.pki.signatures import Signer

MANIFEST_HEAD = b"iotonboard manifest v1\n"
FOLDER = "results"
_MAX_MANIFEST = 1 << 30


def default_path(root: str, verb: str, now: datetime) -> str:
    """A new name below the state's folder for results."""
    folder = os.path.join(root, FOLDER)
    stem = f"{now:%Y%m%dT%H%M%SZ}-{verb}"
    for number in range(1, 1000):
        path = os.path.join(folder, f"{stem}-{number}.csv")
        if not os.path.lexists(path):
            return path
    raise ConflictError(f"{folder!r} is full of results of this second", hint="run the command again")


class ResultsFile:
    """Two files (0600) that grow with every answer; each line is complete when it is written.

    The results are made with the first answer, the manifest with the first device that was not refused: a list that
    cannot be read leaves neither. Results of an earlier call are
    completed: each device stands there once, rows that failed give way, and the manifest is signed anew.

    Raises:
        ConflictError: one of the files exists and is none of this program's.
        BusyError: there is no such folder, or it or a file there may not be written.
    """

    def __init__(self, path: str, form: CsvForm = PLAIN) -> None:
        """``form``: of a CSV that is new; one that is there keeps its own."""
        self.path = path
        self.manifest = path + ".manifest"
        self._is_json = path.endswith(".jsonl")
        self._form = EXCEL if _begins_with(path, EXCEL.head(COLUMNS), whole=True) else form
        if self._form is EXCEL and _begins_with(path, PLAIN.head(COLUMNS), whole=True):
            self._form = PLAIN
        self._head = b"" if self._is_json else self._form.head(COLUMNS)
        for name, head in ((path, self._head or b"{"), (self.manifest, MANIFEST_HEAD)):
            if os.path.lexists(name) and not _begins_with(name, head):
                raise ConflictError(f"{name!r} exists already", hint="choose another name with --results")
            if os.path.lexists(name) or os.path.basename(os.path.dirname(name)) != FOLDER:  # that one is made
                beforehand.refuse_unwritable(name)
        if os.path.lexists(self.manifest + ".sig") and not os.path.lexists(self.manifest):
            raise ConflictError(f"{self.manifest + '.sig'!r} exists already", hint="choose another name with --results")
        self._results: FileIO | None = None
        self._manifest: FileIO | None = None
        self._known: dict[str, str] = {}  # id -> serial, of rows that are there
        self._signed: frozenset[SerialNumber] = frozenset()
        self._count = 0

    def _begin(self) -> FileIO:
        if os.path.basename(os.path.dirname(self.path)) == FOLDER:
            make_private_dir(os.path.dirname(self.path))
        if os.path.lexists(self.path):
            self._take_up()
        else:
            create_exclusive(self.path, self._head)
        return open_to_append(self.path)

    def _begin_manifest(self) -> FileIO:
        if os.path.lexists(self.manifest):
            cut_off_rest(self.manifest)
            if not os.path.getsize(self.manifest):  # of a call that was killed in its first line
                write_atomic(self.manifest, MANIFEST_HEAD, PRIVATE)
            self._signed = frozenset(manifest_holders(read_file(self.manifest, limit=_MAX_MANIFEST)))
            remove_file(self.manifest + ".sig")
        else:
            create_exclusive(self.manifest, MANIFEST_HEAD)
        return open_to_append(self.manifest)

    def _take_up(self) -> None:
        """Note which devices an earlier call answered. Rows that failed go: this call answers them again."""
        cut_off_rest(self.path)
        with io.TextIOWrapper(open_file(self.path), encoding="utf-8", newline="") as file:
            texts = file.readlines()
        kept = [] if self._is_json else texts[:1] or [self._head.decode("utf-8")]
        for text in texts[len(kept) :]:
            row = _parse(text, None if self._is_json else self._form)
            if row.get("status") != "failed":
                kept.append(text)
                self._known[row.get("device_id", "")] = row.get("serial", "")
        if len(kept) != len(texts):
            write_atomic(self.path, "".join(kept).encode("utf-8"), PRIVATE)

    def add(self, answer: Enrolled | Refused, now: datetime) -> None:
        """Append one answer; a device that got a certificate goes into the manifest too.

        Raises:
            BusyError: the disk refuses.
        """
        self._results = self._results or self._begin()
        if not isinstance(answer, Refused):
            self._manifest = self._manifest or self._begin_manifest()
        self._count += 1
        values = _values(answer, answer.line or self._count)
        if values["device_id"] in self._known and values["serial"] in ("", self._known[str(values["device_id"])]):
            return  # it stands there; a refusal of what was done before takes nothing back
        if self._is_json:
            text = json.dumps({name: values[name] for name in COLUMNS}) + "\n"
        else:
            text = self._form.row(values[name] for name in COLUMNS)
        _append(self._results, text.encode("utf-8", "backslashreplace"))  # a folder's name may be no text
        if self._manifest and not isinstance(answer, Refused) and answer.serial not in self._signed:
            row = f"{values['device_id']}\t{values['serial']}\t{values['fingerprint']}\t{rfc3339(now)}\n"
            _append(self._manifest, row.encode("utf-8"))

    def end(self, signer: Callable[[], Signer]) -> None:
        """Close the files, and sign the manifest as it is on the disk, where this call had a device for it."""
        if self._results:
            self._results.close()
        if not self._manifest:
            return
        self._manifest.close()
        with open_file(self.manifest) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            signature = _signature(signer(), content)
        for refused in sync_together((self.path, self.manifest)).values():
            raise refused
        create_exclusive(self.manifest + ".sig", signature)


def cut_off_rest(path: str) -> None:
    """Take away a last line that a killed call began and did not end."""
    content = read_file(path, limit=_MAX_MANIFEST)
    if content and not content.endswith(b"\n"):
        with changing(path) as file:
            file.truncate(content.rfind(b"\n") + 1)


def _begins_with(path: str, head: bytes, *, whole: bool = False) -> bool:
    """Say whether a file of this program stands there, or unless it must be ``whole``, the beginning of one; no link.

    A killed call may have left an empty one.
    """
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open_file(path) as file:
        found = file.read(len(head))
    return found == head if whole else found == head[: len(found)]


def _parse(text: str, form: CsvForm | None) -> dict[str, str]:
    """One line of results; without a ``form`` it is JSON."""
    try:
        values = json.loads(text) if form is None else dict(zip(COLUMNS, form.values(text), strict=False))
    except (ValueError, csv.Error):
        return {}
    return {name: str(value) for name, value in values.items()} if isinstance(values, dict) else {}


def manifest_holders(manifest: bytes) -> dict[SerialNumber, str]:
    """Serial -> device, as a manifest names them.

    Raises:
        PolicyError: it is no manifest, or its last line has no end.
    """
    if not manifest.startswith(MANIFEST_HEAD) or not manifest.endswith(b"\n"):
        raise PolicyError("that is no whole manifest", hint="copy it again")
    rows = manifest.decode("utf-8", "replace").split("\n")[1:]
    split = (row.split("\t") for row in rows if row.count("\t") == 3)
    return {SerialNumber.from_hex(serial): device_id for device_id, serial, *_ in split}


def _values(answer: Enrolled | Refused, line: int) -> dict[str, str | int]:
    values: dict[str, str | int] = {**dict.fromkeys(COLUMNS, ""), "line": line, "device_id": answer.device_id}
    if isinstance(answer, Refused):
        return {**values, "status": "failed", "error": answer.message}
    return {
        **values,
        "serial": answer.serial.hex,
        "fingerprint": answer.fingerprint,
        "bundle": answer.bundle or "",
        "status": answer.outcome,
    }


def _signature(signer: Signer, content: mmap.mmap) -> bytes:
    with memoryview(content) as view:
        return sign_statement(signer, view)


def _append(file: FileIO, content: bytes) -> None:
    try:
        file.write(content)
    except OSError as error:
        raise disk_error(error, str(file.name)) from error
