"""Entries of a list, whatever its kind: a CSV with a header, results of a batch, JSON lines, or plain ids.

The first line decides which. An entry is a row that names its device, with what else it says; a row that cannot be
read is ``Refused`` in its place. Which columns have a meaning, its ``Meaning`` says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from iotonboard.enrolment.list_columns import (
    SEPARATORS,
    Columns,
    Meaning,
    columns_of,
    find_id,
    holds_header,
    is_header_word,
    is_id_word,
    is_plain_id,
    is_run_together,
    key_of,
    no_id,
    refuse_misspelt,
    refuse_twice,
    renamed_among,
)
from iotonboard.enrolment.list_lines import SAVE_AS, Line, name_of, read_lines
from iotonboard.enrolment.list_rows import Cells, clean, split_rows
from iotonboard.errors import PolicyError, quoted
from iotonboard.model import DeviceId, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from iotonboard.enrolment.list_rows import Row

SHOWN = 200  # characters of a line that is refused
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?\1*', re.IGNORECASE)
_SPREADSHEET = "PK\x03\x04"  # a ZIP archive, as every .xlsx and .ods is one
_MAX_HEADER_LINES = 100
_NO_DEVICE = "every row names its device; 'register --uuid' makes ids for those that have none"
_NO_TARGET = "every row names its device; fill in its id, or take the row out"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. ``device`` is the text that names it, empty where that is allowed; ``fields`` is what else it says.

    ``is_result``: of an earlier batch of this program. ``is_open``: the last line, and it has no end. ``is_cut``: what
    is used of it stands at that end, and may be the beginning of something longer. ``renamed``: columns that are
    attributes of another name, with it.
    """

    line: int
    device: str
    fields: Mapping[str, str]
    text: str
    is_result: bool = False
    is_open: bool = False
    is_cut: bool = False
    renamed: tuple[tuple[str, str], ...] = ()


_PLAIN = Columns(("",), ("",), 0, is_results=False)


def read_entries(
    source: str, stdin: BinaryIO, meaning: Meaning, id_column: str = ""
) -> Iterator[Entry | Refused] | None:
    """Read a list; ``-`` is ``stdin``. Its first line is read at once, the others as they are asked for.

    ``None``: there is nothing in it, not even a header.

    Raises:
        NotFoundError: it cannot be opened.
        PolicyError: its first line cannot be used.
        BusyError: it cannot be read to its end.
    """
    lines = read_lines(source, stdin)
    first = _next_said(lines)
    if first is None:
        return None
    separator = _SEPARATOR_LINE.fullmatch(first.text.strip(" "))
    if separator and (first := _next_said(lines)) is None:
        return None
    try:
        return _entries(first, lines, meaning, id_column, separator[1] if separator else SEPARATORS)
    except PolicyError as error:
        raise PolicyError(f"{name_of(source)}: line {first.number}: {error.message}", hint=error.hint) from None


def _next_said(lines: Iterator[Line]) -> Line | None:
    return next((line for line in lines if line.problem or line.text.strip()), None)


def _entries(
    first: Line, lines: Iterator[Line], meaning: Meaning, id_column: str, delimiters: str
) -> Iterator[Entry | Refused]:
    if first.text.startswith(_SPREADSHEET):
        raise PolicyError("this is a spreadsheet and no CSV", hint=SAVE_AS)
    if first.problem:
        is_wide = "\0" in first.text
        raise PolicyError(f"{first.problem}{', as UTF-16 without its mark does' if is_wide else ''}", hint=SAVE_AS)
    if first.text.lstrip().startswith("["):
        raise PolicyError("this is a JSON array", hint="write one object a line, without commas between: jq -c '.[]'")
    if first.text.lstrip().startswith("{"):
        return _json_entries(chain((first,), lines), meaning, id_column)
    held = [first]
    header = _read_header(held, lines, delimiters, id_column)
    if is_plain_id(header.names, id_column):
        return _csv_entries(chain(held, lines), _PLAIN, header.delimiter, meaning)
    columns = columns_of(header.names, meaning, id_column)
    if _is_plain(columns, meaning, id_column):
        return _csv_entries(chain(held, lines), _PLAIN, header.delimiter, meaning)
    if meaning.needs_id and columns.id_at is None and not meaning.also_names.intersection(columns.keys):
        raise no_id(header.names)
    return _csv_entries(chain(held[header.lines :], lines), columns, header.delimiter, meaning)


def _is_plain(columns: Columns, meaning: Meaning, id_column: str) -> bool:
    """Say whether the first line is a device and no header: one value that no header has."""
    if columns.id_at is not None or len(columns.names) > 1 or id_column or not meaning.needs_id:
        return False
    return not is_header_word(columns.names[0])


# -- the header -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Header:
    """A header as one delimiter separates it, and how many lines it takes."""

    names: tuple[str, ...]
    delimiter: str
    lines: int
    problem: str


def _read_header(held: list[Line], lines: Iterator[Line], delimiters: str, id_column: str) -> _Header:
    """The header with the delimiter that makes the id's column appear, or else most columns.

    ``held`` is its first line, and takes those that had to be read to find its end.
    """
    found = [_split_header(held, lines, delimiter) for delimiter in delimiters]
    good = [one for one in found if not one.problem]
    best = max(good, key=lambda one: (_names_device(one.names, id_column), len(one.names)), default=found[0])
    if len(good) < len(found) and not (good and _names_device(best.names, id_column)):
        best = next(one for one in found if one.problem)
    if best.problem:
        raise PolicyError(best.problem, hint=SAVE_AS)
    return best


def _split_header(held: list[Line], lines: Iterator[Line], delimiter: str) -> _Header:
    cells, used = Cells(delimiter), 0
    problem = "a quote is never closed"
    while used < _MAX_HEADER_LINES:
        if used == len(held):
            held.extend(line for line in [next(lines, None)] if line)
        if used == len(held):
            break
        used += 1
        if cells.take(held[used - 1].text):
            problem = cells.problem
            break
    problem = next((line.problem for line in held[:used] if line.problem), problem)
    names = [clean(" ".join(value.split())) for value in cells.values]
    while len(names) > 1 and not names[-1]:
        names.pop()
    return _Header(tuple(names), delimiter, used, problem)


def _names_device(names: Sequence[str], id_column: str) -> bool:
    try:
        return find_id(names, id_column) is not None
    except PolicyError:
        return False


# -- rows -----------------------------------------------------------------------------------------------------------


def _csv_entries(
    lines: Iterator[Line], columns: Columns, delimiter: str, meaning: Meaning
) -> Iterator[Entry | Refused]:
    width, at = len(columns.names), columns.id_at or 0

    def begins_row(text: str) -> bool:
        values = text.split(delimiter)
        return 1 < len(values) == width and _is_id(clean(values[at]))

    for row in split_rows(lines, delimiter, begins_row):
        yield _refused(row, row.problem) if row.problem else _entry(row, columns, meaning)


def _entry(row: Row, columns: Columns, meaning: Meaning) -> Entry | Refused:
    values, width = row.values, len(columns.names)
    if len(values) > width:
        if any(clean(value) for value in values[width:]):
            columns_there = f"{width} column{'s' if width > 1 else ''}"
            return _refused(row, f"{len(values)} values for {columns_there}", "quote the value that holds a separator")
        del values[width:]
    id_at = columns.id_at
    device = clean(values[id_at]) if id_at is not None and id_at < len(values) else ""
    if is_id_word(device, columns.id_name) or holds_header(values):
        return _refused(row, "a header again", "a list has one header; take this line out")
    if is_run_together(device, columns.id_name):
        hint = "begin that header in a line of its own, then take that line out"
        return _refused(row, f"{device[:SHOWN]!r} ends with the header of another list", hint)
    fields = {key: clean(value) for key, value in zip(columns.keys, values, strict=False) if key}
    if meaning.is_whole and not columns.is_results:
        for at, value in enumerate(values):
            if not columns.names[at] and at != id_at and clean(value):
                return _refused(row, f"a value in column {at + 1}, which has no name", "name it in the first line")
    if not device and _needs_id(fields, columns, meaning):
        return _refused(row, "this row names no device", _NO_DEVICE if meaning.is_whole else _NO_TARGET)
    last = len(values) - 1
    is_cut = row.is_open and (last == id_at or (last < len(columns.keys) and bool(columns.keys[last])))
    return Entry(row.line, device, fields, row.text, columns.is_results, row.is_open, is_cut, columns.renamed)


def _needs_id(fields: Mapping[str, str], columns: Columns, meaning: Meaning) -> bool:
    """Whether a row without an id is refused: unless it may have none, or names the device in another way."""
    names_it = any(fields.get(name) for name in meaning.also_names)
    return not names_it and (meaning.needs_id or columns.is_results)


def _refused(row: Row, problem: str, hint: str = "correct that line") -> Refused:
    return Refused(row.text.strip()[:SHOWN], row.line, PolicyError(problem, hint=hint))


def _is_id(text: str) -> bool:
    try:
        return bool(DeviceId(text))
    except PolicyError:
        return False


# -- JSON lines -----------------------------------------------------------------------------------------------------


def _json_entries(lines: Iterator[Line], meaning: Meaning, id_column: str) -> Iterator[Entry | Refused]:
    for line in lines:
        if line.problem:
            yield Refused(line.text.strip()[:SHOWN], line.number, PolicyError(line.problem, hint="correct that line"))
        elif line.text.strip():
            yield json_entry(line.text, line.number, meaning, id_column, is_open=line.is_open)


def json_entry(
    text: str, number: int, meaning: Meaning, id_column: str = "", *, is_open: bool = False
) -> Entry | Refused:
    """The entry of one line of JSON. An object is whole when it can be read, whether its line has an end or not."""
    text = clean(text)
    try:
        device, fields, columns, renamed = _read_object(text, meaning, id_column)
    except PolicyError as error:
        return Refused(text[:SHOWN], number, error)
    if is_id_word(device):
        return Refused(device, number, PolicyError(f"{device!r} is a header", hint="take this line out"))
    if not device and _needs_id(fields, columns, meaning):
        hint = _NO_DEVICE if meaning.is_whole else _NO_TARGET
        return Refused(text[:SHOWN], number, PolicyError("this line names no device", hint=hint))
    return Entry(number, device, fields, text, columns.is_results, is_open, renamed=renamed)


def _read_object(
    text: str, meaning: Meaning, id_column: str
) -> tuple[str, dict[str, str], Columns, tuple[tuple[str, str], ...]]:
    """The id, the fields, what the keys mean, and which are renamed; attributes may stand in an object of their own."""
    try:
        values = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"not a JSON object: {error}", hint='write {"device_id": "press-17"}') from None
    if not isinstance(values, dict):
        raise PolicyError("not a JSON object", hint='write {"device_id": "press-17"}')
    columns = columns_of(tuple(name for name in values if name != "attributes"), meaning, id_column)
    attributes = values.pop("attributes", None)
    is_whole = meaning.is_whole and not columns.is_results
    id_name = columns.id_name
    given = [_text(name, value, is_whole=is_whole or name == id_name) for name, value in values.items()]
    fields = {key: value for key, value in zip(columns.keys, given, strict=True) if key}
    renamed = columns.renamed
    if is_whole:
        attributes = {} if attributes is None else attributes
        fields |= _read_attributes(attributes, fields, meaning)
        renamed += renamed_among((name, meaning.field(name, 0)) for name in attributes)
    return given[columns.id_at] if columns.id_at is not None else "", fields, columns, renamed


def _read_attributes(attributes: object, fields: Mapping[str, str], meaning: Meaning) -> dict[str, str]:
    if not isinstance(attributes, dict):
        raise PolicyError("'attributes' must be an object", hint='write "attributes": {"line": "A3"}')
    refuse_misspelt(attributes, meaning.known)
    keys = [meaning.field(name, 0) for name in attributes]
    refuse_twice([*fields, *keys])
    texts = (_text(name, value, is_whole=True) for name, value in attributes.items())
    return {key: value for key, value in zip(keys, texts, strict=True) if key}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise PolicyError("a key stands there twice", hint="take one of them out")
    return values


def _text(name: str, value: object, *, is_whole: bool) -> str:
    if isinstance(value, list) and key_of(name) == "topics":
        return " ".join(str(item) for item in value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return clean(str(value))
    if value is not None and is_whole:
        raise PolicyError(f"{quoted(name)} must be a text or a whole number", hint="put other values in quotes")
    return ""
