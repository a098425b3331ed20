"""Lists of devices as people and machines write them: CSV files of spreadsheets and lines of a stream.

A CSV has a header. ``device_id`` (or ``id``), ``name``, ``csr``, ``key_type``, ``validity_days`` and ``topics``
(``access:topic`` separated by blanks) have a meaning; every other column is an attribute. UTF-8 with or
without BOM, LF or CRLF, commas, semicolons or tabs are all read.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError, PolicyError, UsageError
from iotonboard.model import DeviceId, KeyType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ATTRIBUTE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_MAX_VALUE = 1024
_RESERVED = frozenset({"device_id", "id", "name", "csr", "key_type", "validity_days", "topics"})


@dataclass(frozen=True, slots=True)
class Row:
    """One device of a list. Empty ``device_id``: make a UUID. ``csr`` names a file."""

    line: int
    device_id: DeviceId | None
    name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    csr: str = ""
    key_type: KeyType | None = None
    validity_days: int | None = None
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """One line of a list that was refused, as it stood, and why."""

    line: int
    text: str
    error: IotOnboardError


@dataclass(frozen=True, slots=True)
class Target:
    """A device of a list that is to be revoked, confirmed or exported; empty where the list does not say."""

    line: int
    device_id: str
    serial: str = ""
    fingerprint: str = ""


def parse_csv(lines: Iterable[str], source: str) -> Iterator[Row | BadRow]:
    """Read a device list, line by line.

    Raises:
        PolicyError: there is no usable header; bad rows are yielded instead.
    """
    iterator = iter(lines)
    header_line = next(iterator, "").removeprefix("\ufeff")
    columns, delimiter = _columns_of(header_line, source)
    _check_header(columns, source)
    reader = csv.reader(iterator, delimiter=delimiter, strict=True)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(reader.line_num + 1, "", PolicyError(f"line {reader.line_num + 1}: {error}"))
            continue
        if any(value.strip() for value in values):
            yield _parse_values(reader.line_num + 1, columns, values)


def parse_targets(lines: Iterable[str], source: str) -> Iterator[Target]:
    """Read devices that are to be revoked, confirmed or exported.

    A CSV with a column ``device_id`` and perhaps ``serial`` and ``fingerprint``; a results file, CSV or JSON lines,
    whose failed rows are passed over; or one id a line.

    Raises:
        PolicyError: a row that is not well formed.
    """
    iterator = iter(lines)
    first = next(iterator, "").removeprefix("\ufeff")
    if first.lstrip().startswith("{"):
        rows = _json_targets(chain((first,), iterator), source)
    else:
        rows = _csv_targets(first, iterator, source)
    for line, fields in rows:
        if fields.get("status") != "failed":
            name = fields.get("device_id") or fields.get("id") or fields.get("device", "")
            yield Target(line, name, fields.get("serial", ""), fields.get("fingerprint", ""))


def _json_targets(lines: Iterable[str], source: str) -> Iterator[tuple[int, dict[str, str]]]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise PolicyError(f"{source}: line {number} is not a JSON object", hint="correct that line")
        yield number, {str(key): value for key, value in fields.items() if isinstance(value, str)}


def _csv_targets(first: str, lines: Iterator[str], source: str) -> Iterator[tuple[int, dict[str, str]]]:
    columns, delimiter = _columns_of(first, source)
    if not {"device_id", "id", "device"} & set(columns):
        for number, text in enumerate(chain((first,), lines), start=1):
            if text.strip():
                yield number, {"id": text.strip()}
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for values in reader:
            fields = {column: value.strip() for column, value in zip(columns, values, strict=False)}
            if any(fields.values()):
                yield reader.line_num + 1, fields
    except csv.Error as error:
        raise PolicyError(f"{source}: line {reader.line_num + 1}: {error}", hint="correct that line") from None


def _columns_of(header: str, source: str) -> tuple[list[str], str]:
    """The names of the columns, and what separates them."""
    delimiter = max((",", ";", "\t"), key=header.count)
    try:
        return [column.strip() for column in next(csv.reader([header], delimiter=delimiter), [])], delimiter
    except csv.Error as error:
        why = "lines that end with CR alone" if "\r" in header.rstrip("\r\n") else str(error)
        raise PolicyError(f"{source}: line 1: {why}", hint="save the list as 'CSV UTF-8' in the spreadsheet") from None


def _check_header(columns: list[str], source: str) -> None:
    hint = "the first line names the columns, for example: device_id,name,line"
    named = [column for column in columns if column]
    if not {"device_id", "id"} & set(named):
        raise PolicyError(f"{source}: line 1 has no column 'device_id'", hint=hint)
    if len(set(named)) != len(columns) or {"device_id", "id"} <= set(named):
        raise PolicyError(f"{source}: line 1 has a column twice or one without a name", hint=hint)
    for column in named:
        check_attribute_name(column)


def _parse_values(line: int, columns: list[str], values: list[str]) -> Row | BadRow:
    text = ",".join(values)[:200]
    if len(values) > len(columns):
        error = PolicyError(
            f"line {line}: {len(values)} values for {len(columns)} columns",
            hint="quote the value that holds a separator",
        )
        return BadRow(line, text, error)
    fields = {column: value.strip() for column, value in zip(columns, values, strict=False)}
    try:
        return parse_fields(line, fields)
    except IotOnboardError as error:
        return BadRow(line, fields.get("device_id") or fields.get("id") or text, error)


def parse_stream_line(line: int, text: str) -> Row:
    """Read one line of ``register --stream``: a device id, or a JSON object with the columns of a CSV.

    Raises:
        PolicyError: neither.
    """
    text = text.strip()
    if not text.startswith("{"):
        return parse_fields(line, {"device_id": text})
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"line {line}: not a JSON object: {error}", hint='write {"device_id": "press-17"}') from None
    flat = fields.pop("attributes", {})
    if not isinstance(flat, dict):
        raise PolicyError(f"line {line}: 'attributes' must be an object", hint='write "attributes": {"line": "A3"}')
    flat.update(fields)
    for key, value in flat.items():
        if isinstance(value, list) and key == "topics":
            flat[key] = " ".join(str(item) for item in value)
        elif not isinstance(value, (str, int)) or isinstance(value, bool):
            raise PolicyError(f"line {line}: {key!r} must be a text or a whole number")
    return parse_fields(line, {key: str(value) for key, value in flat.items()})


def parse_fields(line: int, fields: Mapping[str, str]) -> Row:
    """Check one device's fields.

    Raises:
        PolicyError: a field is not allowed; the message begins with the line.
    """
    try:
        given = fields.get("device_id") or fields.get("id") or ""
        days = fields.get("validity_days", "")
        return Row(
            line=line,
            device_id=DeviceId(given) if given else None,
            name=check_value("name", fields.get("name", "")),
            attributes=tuple(
                (check_attribute_name(key), check_value(key, value))
                for key, value in fields.items()
                if key not in _RESERVED and value != ""
            ),
            csr=check_value("csr", fields.get("csr", "")),
            key_type=parse_key_type(fields["key_type"]) if fields.get("key_type") else None,
            validity_days=_parse_days(days) if days else None,
            topics=tuple(fields.get("topics", "").split()),
        )
    except PolicyError as error:
        raise PolicyError(f"line {line}: {error.message}", hint=error.hint) from None


def parse_key_type(text: str) -> KeyType:
    """Parse a key type's name.

    Raises:
        PolicyError: there is no such key type.
    """
    try:
        return KeyType(text)
    except ValueError:
        raise PolicyError(f"{text[:80]!r} is not a key type", hint=f"use one of {', '.join(KeyType)}") from None


def _parse_days(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 36500:
        raise PolicyError(f"validity_days {text[:80]!r} is not a number of days", hint="use 1 to 36500")
    return int(text)


def check_attribute_name(name: str) -> str:
    """Return an attribute's name.

    Raises:
        PolicyError: not 1 to 64 letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(_ATTRIBUTE_NAME, name):
        raise PolicyError(
            f"{name[:80]!r} is not an attribute name",
            hint="use letters, digits, dots, dashes and underscores",
        )
    return name


def check_value(name: str, value: str) -> str:
    """Return a name's or attribute's value.

    Raises:
        PolicyError: too long, or with characters that steer a terminal.
    """
    if len(value) > _MAX_VALUE:
        raise PolicyError(f"{name!r} is longer than {_MAX_VALUE} characters", hint="shorten it")
    if not value.isprintable():
        raise PolicyError(f"{name!r} holds a character that is not printable", hint="remove it")
    return value


def parse_attribute(text: str) -> tuple[str, str]:
    """Parse ``KEY=VALUE``.

    Raises:
        UsageError: no equals sign, or a name that has a meaning of its own.
        PolicyError: a name or value that is not allowed.
    """
    name, equals, value = text.partition("=")
    if not equals or name in _RESERVED:
        raise UsageError(f"{text[:80]!r} is not KEY=VALUE", hint="for example --set line=A3")
    return check_attribute_name(name), check_value(name, value)
