"""Lists of devices as people and machines write them, one function for each kind of list.

Each reads line by line and yields, in the order of the list, what a row says or why it is ``Refused``. A list as a
whole is refused with an error: it cannot be opened, is not UTF-8 text, or its header cannot be used. UTF-8 with or
without BOM, LF or CRLF, commas, semicolons or tabs are all read.
"""

from __future__ import annotations

import csv
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from iotonboard.enrolment.request import Request, check_attribute_name, check_value, parse_request
from iotonboard.errors import IotOnboardError, NotFoundError, PolicyError
from iotonboard.model import Refused, Target
from iotonboard.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

STDIN = "-"
_MAX_CSR_OCTETS = 1 << 16
_SHOWN = 200  # characters of a line that is refused
_SAVE_AS = "save the list as 'CSV UTF-8' in the spreadsheet"

_Row = TypeVar("_Row")
_CsvRow = tuple[int, list[str]]


def read_devices(source: str, stdin: BinaryIO) -> Iterator[Request | Refused]:
    """Read devices that are to be registered from a CSV file; ``-`` is ``stdin``.

    Its header names the columns. ``device_id`` (or ``id``), ``name``, ``csr`` (a file beside the list), ``key_type``,
    ``validity_days`` and ``topics`` (``access:topic`` separated by blanks) have a meaning; every other column is an
    attribute.

    Raises:
        NotFoundError: the list cannot be opened.
        PolicyError: it is not text, or its header cannot be used.
    """
    folder = os.path.dirname(source) or "."  # so that a file '-' is never stdin
    with _opened(source, stdin) as lines:
        columns, delimiter = _columns_of(next(lines, ""), _name_of(source))
        _check_header(columns, _name_of(source))
        for row in _csv_rows(lines, delimiter):
            if isinstance(row, Refused):
                yield row
                continue
            line, values = row
            text = ",".join(values)
            if len(values) > len(columns):
                what = f"{len(values)} values for {len(columns)} columns"
                yield Refused(text[:_SHOWN], line, PolicyError(what, hint="quote the value that holds a separator"))
            else:
                yield _read_device(line, _fields(columns, values), text, folder)


def read_stream(lines: Iterable[bytes | None]) -> Iterator[Request | Refused | None]:
    """Read devices that are to be registered from lines as they come: an id, or a JSON object with the fields of a CSV.

    Empty lines are passed over; ``None`` says that no line has come for a moment, and is handed on.
    """
    number = 0
    for line in lines:
        if line is None:
            yield None
            continue
        number += 1
        shown = line.decode("utf-8", "backslashreplace").strip()
        if not shown:
            continue
        try:
            fields = _stream_fields(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            yield Refused(shown[:_SHOWN], number, PolicyError("not UTF-8 text", hint="send UTF-8"))
        except PolicyError as error:
            yield Refused(shown[:_SHOWN], number, error)
        else:
            yield _read_device(number, fields, shown, ".")


def read_targets(source: str, stdin: BinaryIO) -> Iterator[Target | Refused]:
    """Read devices that are there already; ``-`` is ``stdin``.

    A CSV with a column ``device_id`` and perhaps ``serial`` and ``fingerprint``; a results file, CSV or JSON lines,
    whose failed rows are passed over; or one id a line.

    Raises:
        NotFoundError: the list cannot be opened.
        PolicyError: it is not text, or its first line cannot be read.
    """
    with _opened(source, stdin) as lines:
        first = next(lines, "")
        is_json = first.lstrip().startswith("{")
        rows = _json_rows(chain((first,), lines)) if is_json else _target_rows(first, lines, _name_of(source))
        for row in rows:
            if isinstance(row, Refused):
                yield row
                continue
            line, fields = row
            if fields.get("status") != "failed":
                name = fields.get("device_id") or fields.get("id") or fields.get("device", "")
                yield Target(name, line, fields.get("serial", ""), fields.get("fingerprint", ""))


def all_of(rows: Iterable[_Row | Refused], source: str) -> Iterator[_Row]:
    """The rows of a list in which none may be refused.

    Raises:
        IotOnboardError: of the first row that is refused.
    """
    for row in rows:
        if isinstance(row, Refused):
            raise type(row.error)(f"{_name_of(source)}: {row.message}", hint=row.error.hint)
        yield row


def count_rows(source: str) -> int | None:
    """How many rows a CSV has below its header, more or less; ``None`` for what cannot be read twice."""
    if not os.path.isfile(source):
        return None
    with open(source, "rb") as file:
        return max(sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b"")) - 1, 1)


# -- lines ----------------------------------------------------------------------------------------------------------


def _name_of(source: str) -> str:
    return "stdin" if source == STDIN else repr(source)


@contextmanager
def _opened(source: str, stdin: BinaryIO) -> Iterator[Iterator[str]]:
    """The lines of a list as text, without the byte order mark at its beginning."""
    if source == STDIN:
        yield _decoded(stdin, source)
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise NotFoundError(f"cannot read {source!r}: {error.strerror}", hint="check the name of the list") from None
    with file:
        yield _decoded(file, source)


def _decoded(lines: Iterable[bytes], source: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise PolicyError(f"{_name_of(source)}: line {number} is not UTF-8 text", hint=_SAVE_AS) from None
        yield text.removeprefix("\ufeff") if number == 1 else text


# -- CSV ------------------------------------------------------------------------------------------------------------


def _columns_of(header: str, source: str) -> tuple[list[str], str]:
    """The names of the columns, and what separates them."""
    delimiter = max((",", ";", "\t"), key=header.count)
    try:
        return [column.strip() for column in next(csv.reader([header], delimiter=delimiter), [])], delimiter
    except csv.Error as error:
        why = "lines that end with CR alone" if "\r" in header.rstrip("\r\n") else str(error)
        raise PolicyError(f"{source}: line 1: {why}", hint=_SAVE_AS) from None


def _check_header(columns: list[str], source: str) -> None:
    hint = "the first line names the columns, for example: device_id,name,line"
    named = [column for column in columns if column]
    if not {"device_id", "id"} & set(named):
        raise PolicyError(f"{source}: line 1 has no column 'device_id'", hint=hint)
    if len(set(named)) != len(columns) or {"device_id", "id"} <= set(named):
        raise PolicyError(f"{source}: line 1 has a column twice or one without a name", hint=hint)
    for column in named:
        check_attribute_name(column)


def _csv_rows(lines: Iterator[str], delimiter: str) -> Iterator[_CsvRow | Refused]:
    """The rows below the header that say something, each with the line on which it ends."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refused("", reader.line_num + 1, PolicyError(str(error), hint="correct that line"))
            continue
        if any(value.strip() for value in values):
            yield reader.line_num + 1, values


def _fields(columns: list[str], values: list[str]) -> dict[str, str]:
    return {column: value.strip() for column, value in zip(columns, values, strict=False)}


def _read_device(line: int, fields: Mapping[str, str], text: str, folder: str) -> Request | Refused:
    """Check one row's fields and read its certification request, which lies in ``folder``."""
    try:
        path = check_value("csr", fields.get("csr", ""))
        request = parse_request(fields, line)
        return replace(request, csr=read_file(os.path.join(folder, path), limit=_MAX_CSR_OCTETS)) if path else request
    except IotOnboardError as error:
        return Refused(fields.get("device_id") or fields.get("id") or text[:_SHOWN], line, error)


# -- JSON lines, results and plain lists ----------------------------------------------------------------------------


def _stream_fields(text: str) -> dict[str, str]:
    if not text.startswith("{"):
        return {"device_id": text}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"not a JSON object: {error}", hint='write {"device_id": "press-17"}') from None
    flat = fields.pop("attributes", {})
    if not isinstance(flat, dict):
        raise PolicyError("'attributes' must be an object", hint='write "attributes": {"line": "A3"}')
    flat.update(fields)
    for key, value in flat.items():
        if isinstance(value, list) and key == "topics":
            flat[key] = " ".join(str(item) for item in value)
        elif not isinstance(value, (str, int)) or isinstance(value, bool):
            raise PolicyError(f"{key!r} must be a text or a whole number")
    return {key: str(value) for key, value in flat.items()}


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]] | Refused]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            yield number, {key: value for key, value in fields.items() if isinstance(value, str)}
        else:
            yield Refused(text.strip()[:_SHOWN], number, PolicyError("not a JSON object", hint="correct that line"))


def _target_rows(first: str, lines: Iterator[str], source: str) -> Iterator[tuple[int, dict[str, str]] | Refused]:
    """Rows of a CSV whose first line names a column for the device, else one id a line."""
    columns, delimiter = _columns_of(first, source)
    if not {"device_id", "id", "device"} & set(columns):
        for number, text in enumerate(chain((first,), lines), start=1):
            if text.strip():
                yield number, {"id": text.strip()}
        return
    for row in _csv_rows(lines, delimiter):
        yield row if isinstance(row, Refused) else (row[0], _fields(columns, row[1]))
