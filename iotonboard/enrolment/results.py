"""What a batch leaves for the line: a results file, and a manifest that the CA signed.

The results file is CSV, or JSON lines when its name ends in ``.jsonl``; ``confirm`` and ``revoke`` read it. The
manifest lists the devices that got a certificate, one a line: id, serial, fingerprint and time, separated by tabs,
below the line ``iotonboard manifest v1``. ``FILE.manifest.sig`` is the CA's signature over its octets, for
``openssl dgst``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import mmap
import os
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError
from iotonboard.files import create_exclusive, disk_error, make_private_dir, sync_together
from iotonboard.model import rfc3339
from iotonboard.pki.signatures import sign_statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from io import FileIO

    from iotonboard.pki.signatures import Signer

COLUMNS = ("line", "device_id", "serial", "fingerprint", "bundle", "status", "error")
MANIFEST_HEAD = b"iotonboard manifest v1\n"
FOLDER = "results"


@contextlib.contextmanager
def open_results(path: str, signer: Signer) -> Iterator[ResultsFile]:
    """Keep results in ``path``; the manifest is signed when the block ends, however it ends.

    The files are made with the first answer: a list that cannot be read leaves none.

    Raises:
        ConflictError: one of the files exists.
        BusyError: the disk refuses.
    """
    results = ResultsFile(path)
    try:
        yield results
    finally:
        results.finish(signer)


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
    """Two new files (0600) that grow with every answer; each line is complete when it is written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.manifest = path + ".manifest"
        self._is_json = path.endswith(".jsonl")
        for name in (self.manifest + ".sig", self.manifest, path):
            if os.path.lexists(name):
                raise ConflictError(f"{name!r} exists already", hint="choose another name with --results")
        self._files: list[FileIO] = []

    def _make(self) -> None:
        if os.path.basename(os.path.dirname(self.path)) == FOLDER:
            make_private_dir(os.path.dirname(self.path))
        create_exclusive(self.path, b"" if self._is_json else (",".join(COLUMNS) + "\n").encode("ascii"))
        create_exclusive(self.manifest, MANIFEST_HEAD)
        self._files = [_open(self.path), _open(self.manifest)]

    def add(self, values: dict[str, str | int], now: datetime) -> None:
        """Append one answer; a device that got a certificate goes into the manifest too.

        Raises:
            BusyError: the disk refuses.
        """
        if not self._files:
            self._make()
        results, manifest = self._files
        if self._is_json:
            text = json.dumps({name: values[name] for name in COLUMNS}) + "\n"
        else:
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow([values[name] for name in COLUMNS])
            text = line.getvalue()
        _append(results, text.encode("utf-8"))
        if values["status"] in ("created", "reissued"):
            row = f"{values['device_id']}\t{values['serial']}\t{values['fingerprint']}\t{rfc3339(now)}\n"
            _append(manifest, row.encode("ascii"))

    def finish(self, signer: Signer) -> None:
        """Sign the manifest as it is on the disk; nothing is done when there was no answer."""
        if not self._files:
            return
        for each in self._files:
            each.close()
        with open(self.manifest, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            signature = _sign(signer, content)
        for refused in sync_together((self.path, self.manifest)).values():
            raise refused
        create_exclusive(self.manifest + ".sig", signature)


def _sign(signer: Signer, content: mmap.mmap) -> bytes:
    with memoryview(content) as view:
        return sign_statement(signer, view)


def _open(path: str) -> FileIO:
    try:
        return open(path, "ab", buffering=0)
    except OSError as error:
        raise disk_error(error, path) from error


def _append(file: FileIO, content: bytes) -> None:
    try:
        file.write(content)
    except OSError as error:
        raise disk_error(error, str(file.name)) from error
