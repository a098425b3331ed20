"""Lists whose shape is odd: read as meant, or bad rows by their lines, for whoever reads them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from iotonboard.enrolment.device_list import read_devices, read_targets
from iotonboard.enrolment.request import Request
from iotonboard.errors import PolicyError
from iotonboard.model import Refused, Target

from support.program import State

Reader = Callable[..., Iterator[Request | Target | Refused]]
READERS = pytest.mark.parametrize("reader", [read_devices, read_targets], ids=["devices", "targets"])


def rows(reader: Reader, text: str | bytes, id_column: str = "", **words: bool) -> list[tuple[object, int]]:
    """Id or refusal, and line, of each row."""
    octets = text.encode() if isinstance(text, str) else text
    found = reader("-", io.BytesIO(octets), id_column, **words)
    return [(one.error.message if isinstance(one, Refused) else one.device_id, one.line) for one in found]


# -- ends of lines ---------------------------------------------------------------------------------------------------


@READERS
def test_line_ends_inside_of_quotes_are_the_values_own(reader: Reader) -> None:
    """Excel on a Mac ends rows with CR and lines of a cell with LF; others put a CR into a cell."""
    for text, lines in (
        ('"Device\nID",x,note\ra,1,"two\nlines"\rb,2,z\r', (2, 3)),
        ('device_id,x,note\ra,1,"two\r\nlines"\rb,2,z\r', (3, 4)),
        ('device_id,x,note\r\na,1,"two\rlines"\r\nb,2,z\r\n', (2, 3)),
    ):
        found = rows(reader, text)
        assert [line for _, line in found] == list(lines)
        assert found[1][0] == "b"
        assert found[0][0] in ("a", "'note' holds a character that is not printable")


@READERS
def test_a_list_of_a_mac_may_end_with_a_line_feed(reader: Reader) -> None:
    for end in ("", "\r", "\n", "\r\n"):
        assert rows(reader, f"device_id,name\ra,x\rb,y{end}") == [("a", 2), ("b", 3)]
        assert rows(reader, f"a\rb{end}") == [("a", 1), ("b", 2)]


@READERS
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,x\na,1\rb,2\nc,3\n", "holds a CR that ends no line"),
        ('id,x\na,"1"\rb,2\nc,3\n', "something stands behind a closing quote"),
        ('id,x,y\na,1\rb,"2"\nc,3\n', "holds a CR that ends no line"),
        ("id,x\ra,1\nb,2\rc,3\r", "holds an LF that ends no line"),
        ('id,x,y\ra,1\nb,"2"\rc,3\r', "holds an LF that ends no line"),
    ],
)
def test_a_row_that_swallowed_another_is_refused(reader: Reader, text: str, problem: str) -> None:
    assert rows(reader, text) == [(problem, 2), ("c", 3)]


@READERS
def test_a_line_without_end_says_that_nothing_behind_it_was_read(reader: Reader) -> None:
    ((problem, line),) = rows(reader, "id\n" + "x" * (2 << 20) + "\nb\n")
    assert line == 2
    assert "nothing behind it was read" in str(problem)


@READERS
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    ["device_id,Имя\npress-1,Пресс\n", "id;Ā\r\npress-1;二\r\n", "🔩\tid\rx\tpress-1\r", "press-1\n", "press-1"],
)
def test_utf_16_without_a_mark_whatever_letters_it_has(reader: Reader, encoding: str, text: str) -> None:
    assert [name for name, _ in rows(reader, text.encode(encoding))] == ["press-1"]


@READERS
def test_what_no_kind_of_utf_16_makes_text_of_is_told_so(reader: Reader) -> None:
    for octets in (b"a\0b\n", "ĀĀ,ĀĀ".encode("utf-16-le")):
        with pytest.raises(PolicyError, match="holds a NUL, as UTF-16 without its mark does"):
            rows(reader, octets)


# -- values that spreadsheets keep as text ---------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize(
    "text",
    ['device_id,name\n="0012",="x y"\n', '="device_id";x\n"=""0012""";y\n', '="0012"\n', 'id\n=" 0012 "\n'],
)
def test_a_number_that_is_kept_as_text(reader: Reader, text: str) -> None:
    assert [name for name, _ in rows(reader, text)] == ["0012"]


def test_other_formulas_are_no_new_ids(state: State, tmp_path: Path) -> None:
    """A device that was adopted may be called so, and no new one."""
    (tmp_path / "list.csv").write_text('id,x\n=0012,1\n="00"&"12",1\n="00,12",1\n')
    answers = state.run("register", "--batch", tmp_path / "list.csv", "--json", expect=6).json_lines
    assert [one["error"]["message"] for one in answers] == [
        "'=0012' is not a device id",
        '\'="00"&"12"\' is not a device id',
        "3 values for 2 columns",
    ]


# -- lists that were put together ------------------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("device_id\na\nbdevice_id\nc\n", ["a", "'bdevice_id' ends with the header of another list", "c"]),
        ("device_id,x\na,1\nx,device_id\n2,b\n", ["a", "a header again", "2"]),
        ("x,device_id\n1,a\ndevice_id,x\nb,2\n", ["a", "a header again", "2"]),
        ("a\nDevice ID\nb\n", ["a", "a header again", "b"]),
        ("sep=;\nid;x\na;1\n\nid;x\nb;2\n", ["a", "a header again", "b"]),
    ],
)
def test_no_header_of_another_list_is_a_device(reader: Reader, text: str, names: list[str]) -> None:
    assert [name for name, _ in rows(reader, text)] == names


# -- first lines -----------------------------------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize("text", ["sep=;\r\n\r\nDevice ID;x\r\na;1\r\n", "\n\nsep=\t\n \nDevice ID\tx\na\t1\n"])
def test_empty_lines_before_the_header(reader: Reader, text: str) -> None:
    assert [name for name, _ in rows(reader, text)] == ["a"]


@READERS
def test_ids_that_resemble_a_header_are_ids(reader: Reader) -> None:
    """``device-1d`` is one letter off ``deviceid``, and a device all the same: it has a digit."""
    assert rows(reader, "device-1d\ntopic1\n") == [("device-1d", 1), ("topic1", 2)]


def test_plain_ids_are_no_header_where_ids_may_be_made() -> None:
    assert rows(read_devices, "press-1\npress-2\n", needs_id=False) == [("press-1", 1), ("press-2", 2)]


@READERS
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("device,id\na,b\n", "more than one column names the device: 'device', 'id'"),
        ("device;id;x\na;b;c\n", "more than one column names the device: 'device', 'id'"),
        ("device_id,line,line\na,1,2\n", "a column twice: 'line'"),
        ("device_id,serial,serial\na,0A,0B\n", "a column twice: 'serial'"),
        ("uuid\na\n", "no column 'device_id'"),
        ("Geräte\na\n", "no column 'device_id'"),
        ('[{"id": "a"}]\n', "this is a JSON array"),
        ('[\n{"id": "a"},\n', "this is a JSON array"),
        (b"PK\x03\x04\x14\x00\x06\x00\n", "this is a spreadsheet"),
    ],
)
def test_a_first_line_that_cannot_be_used(reader: Reader, text: str | bytes, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        rows(reader, text)
    assert caught.value.hint


def test_a_column_that_is_a_certificates_serial_stands_there_once() -> None:
    with pytest.raises(PolicyError, match="a column twice: 'serial'"):
        rows(read_targets, "device_id,Serial,serial\na,0A,0B\n")


# -- JSON lines ------------------------------------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize("value", ["1.0", "1e3", "true", "NaN", "[1]", '{"a": 1}'])
def test_what_names_no_device_is_refused_for_what_it_is(reader: Reader, value: str) -> None:
    assert rows(reader, f'{{"id": {value}}}\n{{"id": 17}}\n') == [
        ("'id' must be a text or a whole number", 1),
        ("17", 2),
    ]


def test_no_attributes_are_none() -> None:
    assert list(read_devices("-", io.BytesIO(b'{"id": "a", "attributes": null}\n'))) == [Request("a", line=1)]
    ((problem, _),) = rows(read_devices, '{"id": "a", "attributes": ""}\n')
    assert problem == "'attributes' must be an object"


@READERS
def test_who_cannot_have_a_uuid_is_not_told_of_one(reader: Reader) -> None:
    for text in ("id,x\n,1\n", '{"x": "1"}\n'):
        (refused,) = reader("-", io.BytesIO(text.encode()))
        assert isinstance(refused, Refused)
        assert ("--uuid" in refused.error.hint) == (reader is read_devices)
