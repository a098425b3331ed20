"""Lists of devices as people and machines write them: one reader for every verb that takes one.

A list is a CSV whose header names the device's column, the results of an earlier batch, JSON lines, or plain ids.
Each row is yielded in its place, as what it says or as ``Refused``: none is passed over in silence. A list as a whole
is refused with an error before anything is yielded: it cannot be opened, or its first line cannot be used.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.disk.reading import open_file, read_file
from iotonboard.enrolment.list_columns import OF_A_TARGET, Meaning, field_of, is_id_word, key_of
from iotonboard.enrolment.list_lines import MAX_LINE_OCTETS, name_of
from iotonboard.enrolment.list_reader import SHOWN, Entry, json_entry, read_entries
from iotonboard.enrolment.list_rows import clean
from iotonboard.enrolment.request import OF_A_DEVICE, check_value, parse_request
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.model import Refused, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from iotonboard.enrolment.request import Request

_MAX_CSR_OCTETS = 1 << 16
_INLINE_CSR = "-----BEGIN "
_NO_END = "the last line has no end: the list may have been cut off there"
_END_IT = "look whether it is whole, end it with a line feed, and run the command again"
# A spreadsheet shows a long number so, and saves what it shows.
_SHORTENED = re.compile(r"[0-9]([.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)


def _field_of_target(name: str, _number: int) -> str:
    key = key_of(name)
    return next((known for known in (*OF_A_TARGET, "status") if key_of(known) == key), "")


_DEVICES = Meaning(field_of, OF_A_DEVICE, is_whole=True)
_DEVICES_WITHOUT_ID = replace(_DEVICES, needs_id=False)
_TARGETS = Meaning(_field_of_target, OF_A_TARGET, also_names=frozenset({"serial"}))


def read_devices(
    source: str,
    stdin: BinaryIO,
    id_column: str = "",
    *,
    needs_id: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Request | Refused]:
    """Read devices that are to be registered; ``-`` is ``stdin``.

    Beside the id, ``name``, ``csr`` (a file beside the list, or the request itself as PEM), ``key_type``,
    ``validity_days`` and ``topics`` (``access:topic`` separated by blanks) have a meaning; every other column is an
    attribute. Of results and other output of this program only the ids count. ``id_column`` names the id's column;
    without ``needs_id`` a row may have none. ``tell`` is called where the last line has no end: the list may be cut off
    there. It is called too for columns that became attributes of another name.

    Raises:
        NotFoundError: the list cannot be opened.
        PolicyError: it is empty, or its first line cannot be used.
        BusyError: it cannot be read to its end.
    """
    folder = os.path.dirname(source) or "."  # so that a file '-' is never stdin
    entries = read_entries(source, stdin, _DEVICES if needs_id else _DEVICES_WITHOUT_ID, id_column)
    if entries is None:
        raise PolicyError(f"{name_of(source)} is empty", hint="its first line names the columns: device_id,name,line")
    return _devices(entries, folder, tell)


def _devices(
    entries: Iterable[Entry | Refused], folder: str, tell: Callable[[str], None]
) -> Iterator[Request | Refused]:
    told: set[tuple[str, str]] = set()
    for entry in entries:
        if isinstance(entry, Refused):
            yield entry
            continue
        if not told.issuperset(entry.renamed):
            named = ", ".join(f"{name[:SHOWN]!r} as {key!r}" for name, key in entry.renamed if (name, key) not in told)
            tell(f"columns become attributes of another name: {named}")
            told.update(entry.renamed)
        yield _read_device(entry, folder)
        if entry.is_open:
            tell(f"line {entry.line}: {_NO_END}")


def read_stream(
    lines: Iterable[bytes | None], id_column: str = "", *, needs_id: bool = True
) -> Iterator[Request | Refused | None]:
    """Read devices that are to be registered from lines as they come: an id, or a JSON object with the fields of a CSV.

    Lines have their ends; the last one that has none may be cut off, and is refused unless it is a whole object.
    ``None`` says that no line has come for a moment, and is handed on.
    """
    meaning = replace(_DEVICES, needs_id=needs_id, is_exact=True)
    number = 0
    for line in lines:
        if line is None:
            yield None
            continue
        number += 1
        entry = _stream_entry(line, number, meaning, id_column)
        yield entry if isinstance(entry, Refused) else _read_device(entry, ".")


def _stream_entry(line: bytes, number: int, meaning: Meaning, id_column: str) -> Entry | Refused:
    try:
        text = _stream_text(line)
    except PolicyError as error:
        return Refused(clean(line[: SHOWN * 4].decode("utf-8", "backslashreplace"))[:SHOWN], number, error)
    return json_entry(text, number, meaning, id_column) if text.startswith("{") else Entry(number, text, {}, text)


def _stream_text(line: bytes) -> str:
    """An id or a JSON object, without what stands around it."""
    if len(line) > MAX_LINE_OCTETS:
        raise PolicyError(f"longer than {MAX_LINE_OCTETS >> 20} MiB", hint="send one device a line")
    try:
        text = clean(line.decode())
    except UnicodeDecodeError:
        raise PolicyError("not UTF-8 text", hint="send UTF-8") from None
    if "\0" in text:
        raise PolicyError("holds a NUL", hint="send UTF-8")
    if not text:
        raise PolicyError("an empty line", hint="send an id or a JSON object in every line")
    if text.startswith("{"):
        return text
    if not line.endswith(b"\n"):
        raise PolicyError("the last line has no end: the id may be cut off", hint="end every line with a line feed")
    if is_id_word(text):
        raise PolicyError(f"{text!r} is a header", hint="a stream has none: send ids or JSON objects")
    return text


def read_targets(
    source: str,
    stdin: BinaryIO,
    id_column: str = "",
    *,
    needs_end: bool = False,
    refuse_failed: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Target | Refused]:
    """Read devices that are there already; ``-`` is ``stdin``.

    ``serial`` is a certificate's, which names the device too. Of results and other output of this program, rows that
    failed are refused. ``fingerprint`` in a list of one's own is what the device reported; with ``refuse_failed`` a row
    is refused whose ``status`` there is ``failed``. ``tell`` is called where the last line has no end: the list may be
    cut off there. With ``needs_end`` that is a refusal, and a row whose id may be the beginning of another one is
    refused too.

    Raises:
        NotFoundError: the list cannot be opened.
        PolicyError: its first line cannot be used.
        BusyError: it cannot be read to its end.
    """
    entries = read_entries(source, stdin, _TARGETS, id_column)

    def targets() -> Iterator[Target | Refused]:
        for entry in entries or ():
            if isinstance(entry, Refused):
                yield entry
                continue
            if not (needs_end and entry.is_cut):
                yield _read_target(entry, refuse_failed=refuse_failed)
            if entry.is_open and needs_end:
                yield Refused(entry.device, entry.line, PolicyError(_NO_END, hint=_END_IT))
            elif entry.is_open:
                tell(f"line {entry.line}: {_NO_END}")

    return targets()


def _read_target(entry: Entry, *, refuse_failed: bool) -> Target | Refused:
    fields = entry.fields
    if (entry.is_result or refuse_failed) and fields.get("status") == "failed":
        why = f"passed over, for it failed: {fields.get('error') or 'the list does not say why'}"
        return Refused(entry.device, entry.line, PolicyError(why, hint="when it is in order, name it to this command"))
    reported = "" if entry.is_result else fields.get("reported_fingerprint") or fields.get("fingerprint", "")
    fingerprint = reported or fields.get("fingerprint", "")
    return Target(entry.device, entry.line, fields.get("serial", ""), fingerprint, is_reported=bool(reported))


def count_rows(source: str) -> int | None:
    """How many rows a list has below its header, more or less; ``None`` for what cannot be read twice."""
    if not os.path.isfile(source):
        return None
    with open_file(source) as file:
        return max(sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b"")) - 1, 1)


def _read_device(entry: Entry, folder: str) -> Request | Refused:
    """Check one row's fields, and read its certification request, which lies in ``folder`` if not in the row."""
    try:
        if _SHORTENED.fullmatch(entry.device):
            raise PolicyError(
                f"{entry.device!r} is a number that a spreadsheet shortened",
                hint="format the column as text before the ids are filled in",
            )
        fields = {} if entry.is_result else entry.fields
        request = parse_request(entry.device, fields, entry.line)
        csr = fields.get("csr", "")
        return replace(request, csr=_read_csr_of(csr, folder)) if csr else request
    except IotOnboardError as error:
        return Refused(entry.device or entry.text.strip()[:SHOWN], entry.line, error)


def _read_csr_of(text: str, folder: str) -> bytes:
    if text.startswith(_INLINE_CSR):
        return text.encode()
    return read_file(os.path.join(folder, check_value("csr", text)), limit=_MAX_CSR_OCTETS)
