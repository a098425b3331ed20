"""Lists as people and machines write them: what each row says, or in which line why it says nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from iotonboard.enrolment.device_list import (
    all_of,
    count_rows,
    read_csr,
    read_csr_folder,
    read_devices,
    read_stream,
    read_targets,
)
from iotonboard.enrolment.request import (
    Request,
    check_attribute_name,
    check_value,
    parse_attribute,
    parse_request,
    with_defaults,
)
from iotonboard.errors import ConflictError, IotOnboardError, NotFoundError, PolicyError, UsageError
from iotonboard.model import KeyType, Refused, Target


def devices(text: str | bytes) -> list[Request | Refused]:
    octets = text.encode() if isinstance(text, str) else text
    return list(read_devices("-", io.BytesIO(octets)))


def targets(text: str | bytes) -> list[Target | Refused]:
    octets = text.encode() if isinstance(text, str) else text
    return list(read_targets("-", io.BytesIO(octets)))


def told(rows: Iterable[object]) -> list[tuple[str, int]]:
    """Name and line of each row; of one that is refused with the reason's first words."""
    return [
        (f"{row.device_id}: {row.error.message}", row.line) if isinstance(row, Refused) else (row.device_id, row.line)
        for row in rows
        if isinstance(row, Refused | Request | Target)
    ]


# -- a CSV of devices that are to be registered --------------------------------------------------------------------


def test_each_column_that_has_a_meaning_and_all_others() -> None:
    (row,) = devices(
        "hall,device_id,name,key_type,validity_days,topics,empty\n7,press-1,Größe 4,rsa-2048,30,read:a write:b,\n"
    )
    assert row == Request(
        "press-1",
        line=2,
        name="Größe 4",
        attributes=(("hall", "7"),),
        topics=("read:a", "write:b"),
        key_type=KeyType.RSA_2048,
        validity_days=30,
    )


def test_lines_are_those_of_the_file() -> None:
    text = 'id,where\n\na,\n\n"b","two\nlines"\n,,\nc\n'
    assert told(devices(text)) == [("a", 3), ("b: 'where' holds a character that is not printable", 6), ("c", 8)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write(delimiter: str, mark: str, end: str) -> None:
    lines = (delimiter.join(("device_id", "place")), delimiter.join(("press-1", '"a,b;c"')), "")
    (row,) = devices(mark + end.join(lines))
    assert row == Request("press-1", line=2, attributes=(("place", "a,b;c"),))


def test_a_byte_order_mark_belongs_to_the_first_line_alone() -> None:
    assert told(devices("id\na\n\ufeffb\n")) == [("a", 2), ("\ufeffb: '\\ufeffb' is not a device id", 3)]


def test_a_row_without_an_id_asks_for_a_new_one() -> None:
    assert devices("device_id,line\n,A3\n") == [Request(None, line=2, attributes=(("line", "A3"),))]


def test_rows_that_are_refused_stand_in_their_places() -> None:
    rows = devices('id,key_type,validity_days\na,,\nb,rsa,\nc,,0\nd,,x,y\n"e,,\n')
    assert told(rows) == [
        ("a", 2),
        ("b: 'rsa' is not a key type", 3),
        ("c: validity_days '0' is not a number of days", 4),
        ("d,,x,y: 4 values for 3 columns", 5),
        (": unexpected end of data", 6),
    ]


def test_rows_behind_one_that_is_no_csv_are_read() -> None:
    assert [line for _, line in told(devices('id,x\na,"b"c\nd,\n'))] == [2, 3]


@pytest.mark.parametrize(
    ("days", "is_good"), [("1", True), ("36500", True), ("36501", False), ("-1", False), ("1.5", False), ("٣", False)]
)
def test_a_validity_is_a_number_of_days(days: str, is_good: bool) -> None:
    (row,) = devices(f"id,validity_days\na,{days}\n")
    assert isinstance(row, Request) == is_good


BAD_HEADERS = {
    "nothing": ("", "no column 'device_id'"),
    "no id": ("name\n", "no column 'device_id'"),
    "twice": ("id,line,line\n", "a column twice"),
    "nameless": ("id,,line\n", "one without a name"),
    "two ids": ("device_id,id\n", "a column twice"),
    "no attribute's name": ("id,two words\n", "not an attribute name"),
    "CR alone": ("id,name\ra,b\rc,d", "CR alone"),
    "quotes": ('"id"x,name\n', "line 1"),
}


@pytest.mark.parametrize(("text", "why"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_cannot_be_used_refuses_the_whole_list(text: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        devices(text)
    assert caught.value.hint


def test_a_list_that_is_not_text_breaks_off_where_that_is() -> None:
    rows = read_devices("-", io.BytesIO(b"id\na\n\xff\nb\n"))
    assert told([next(rows)]) == [("a", 2)]
    with pytest.raises(PolicyError, match="stdin: line 3 is not UTF-8 text"):
        next(rows)


def test_requests_lie_beside_the_list(tmp_path: Path) -> None:
    (tmp_path / "a.csr").write_bytes(b"the request")
    (tmp_path / "list.csv").write_text("id,csr\na,a.csr\nb,b.csr\nc,\nd,\x07\n")
    rows = list(read_devices(str(tmp_path / "list.csv"), io.BytesIO()))
    assert rows[0] == Request("a", line=2, csr=b"the request")
    assert rows[2] == Request("c", line=4)
    refused = [row for row in rows if isinstance(row, Refused)]
    assert [(row.device_id, row.line, type(row.error)) for row in refused] == [
        ("b", 3, NotFoundError),
        ("d", 5, PolicyError),
    ]
    assert refused[0].message.startswith("line 3: there is no file")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot read"):
        next(read_devices(str(tmp_path / "no.csv"), io.BytesIO()))


# -- a stream ------------------------------------------------------------------------------------------------------


def streamed(*lines: bytes | None) -> list[Request | Refused | None]:
    return list(read_stream(lines))


def test_a_line_is_an_id_or_an_object() -> None:
    asked = {
        "device_id": "b",
        "name": "B",
        "validity_days": 30,
        "attributes": {"line": "4"},
        "topics": ["read:a", "write:b"],
    }
    rows = streamed(b"a\n", json.dumps(asked).encode(), b' {"id": "c"} ', b"{}")
    assert rows == [
        Request("a", line=1),
        Request("b", 2, "B", (("line", "4"),), ("read:a", "write:b"), validity_days=30),
        Request("c", line=3),
        Request(None, line=4),
    ]


def test_empty_lines_count_and_pauses_do_not() -> None:
    assert streamed(b"\n", None, b" \r\n", b"a", None) == [None, Request("a", line=3), None]


BAD_LINES = {
    "no id": (b"a/b", "a/b", "is not a device id"),
    "no JSON": (b'{"device_id": ', '{"device_id":', "not a JSON object"),
    "deep": (b'{"a":' + b"[" * 100_000, '{"a":' + "[" * 195, "not a JSON object"),
    "attributes": (b'{"device_id": "x", "attributes": [1]}', None, "'attributes' must be an object"),
    "a list": (b'{"device_id": ["x"]}', None, "'device_id' must be a text or a whole number"),
    "true": (b'{"device_id": true}', None, "'device_id' must be a text or a whole number"),
    "a fraction": (b'{"device_id": "x", "validity_days": 1.5}', None, "'validity_days' must be"),
    "a field": (b'{"device_id": "x", "key_type": "rsa-512"}', "x", "'rsa-512' is not a key type"),
    "not UTF-8": (b"caf\xe9", "caf\\xe9", "not UTF-8 text"),
    "no request": (b'{"device_id": "x", "csr": "no.csr"}', "x", "there is no file"),
}


@pytest.mark.parametrize(("line", "name", "why"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_refused(line: bytes, name: str | None, why: str) -> None:
    first, refused, last = streamed(b"a", line, b"b")
    assert (first, last) == (Request("a", line=1), Request("b", line=3))
    assert isinstance(refused, Refused)
    assert refused.line == 2
    assert refused.device_id == (line.decode() if name is None else name)
    assert why in refused.message


# -- a folder of requests ------------------------------------------------------------------------------------------


def test_a_folder_of_requests_in_the_order_of_the_names(tmp_path: Path) -> None:
    for name in ("b.csr", "a.PEM", "c.der", "d.p10", "notes.txt", "no id.csr"):
        (tmp_path / name).write_bytes(name.encode())
    rows = list(read_csr_folder(str(tmp_path)))
    good = [row for row in rows if isinstance(row, Request)]
    assert [(row.device_id, row.csr) for row in good] == [
        ("a", b"a.PEM"),
        ("b", b"b.csr"),
        ("c", b"c.der"),
        ("d", b"d.p10"),
    ]
    assert told(rows)[-1] == ("no id: 'no id' is not a device id", 5)


def test_a_folder_without_requests(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no request"):
        next(read_csr_folder(str(tmp_path)))
    with pytest.raises(NotFoundError, match="cannot read"):
        next(read_csr_folder(str(tmp_path / "no")))


def test_one_request_from_a_file_or_stdin(tmp_path: Path) -> None:
    (tmp_path / "csr").write_bytes(b"one")
    (tmp_path / "large").write_bytes(bytes((1 << 16) + 1))
    assert read_csr(str(tmp_path / "csr"), io.BytesIO(b"other")) == b"one"
    assert read_csr("-", io.BytesIO(b"other")) == b"other"
    with pytest.raises(ConflictError):
        read_csr(str(tmp_path / "large"), io.BytesIO())


# -- devices that are there already --------------------------------------------------------------------------------


def test_targets_of_a_csv_with_what_it_says() -> None:
    rows = targets("\ufeffdevice_id;serial;note;fingerprint\r\na;0A;;ff\r\n;0B;;\r\n\r\nc\r\n")
    assert rows == [Target("a", 2, "0A", "ff"), Target("", 3, "0B"), Target("c", 5)]


@pytest.mark.parametrize("column", ["device_id", "id", "device"])
def test_the_columns_that_name_a_device(column: str) -> None:
    assert targets(f"{column}\na\n") == [Target("a", 2)]


def test_one_id_a_line_needs_no_header() -> None:
    assert targets("a\n\n b \r\nc") == [Target("a", 1), Target("b", 3), Target("c", 4)]
    assert targets("") == []


def test_failed_rows_of_results_are_passed_over() -> None:
    text = "row,device_id,serial,fingerprint,bundle,status,error\n1,a,0A,ff,,created,\n2,b,,,,failed,why\n"
    assert targets(text) == [Target("a", 2, "0A", "ff")]
    lines = [{"device_id": "a", "serial": "0A", "row": 1, "status": "created"}, {"device_id": "b", "status": "failed"}]
    assert targets("\n".join(map(json.dumps, lines))) == [Target("a", 1, "0A")]


def test_targets_that_are_refused_stand_in_their_places() -> None:
    assert told(targets('{"device_id": "a"}\n\n[1]\n{"id": "b"}\n{')) == [
        ("a", 1),
        ("[1]: not a JSON object", 3),
        ("b", 4),
        ("{: not a JSON object", 5),
    ]
    assert [line for _, line in told(targets('id,x\na,"b"c\nd,\n'))] == [2, 3]


def test_a_list_in_which_none_may_be_refused() -> None:
    assert list(all_of([Target("a", 1)], "-")) == [Target("a", 1)]
    rows = all_of([Target("a", 1), Refused("b", 2, NotFoundError("why", hint="what to do"))], "list.csv")
    assert next(rows) == Target("a", 1)
    with pytest.raises(NotFoundError, match=r"^'list.csv': line 2: why$") as caught:
        next(rows)
    assert caught.value.hint == "what to do"


def test_rows_are_counted_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("id\na\nb\n")
    assert count_rows(str(file)) == 2
    file.write_text("")
    assert count_rows(str(file)) == 1
    assert count_rows("-") is None
    assert count_rows(str(tmp_path)) is None


# -- one device's fields -------------------------------------------------------------------------------------------


def test_what_a_list_says_goes_before_what_is_said_for_all() -> None:
    defaults = Request(
        name="N", attributes=(("a", "1"), ("b", "2")), topics=("read:x",), key_type=KeyType.ED25519, validity_days=9
    )
    assert with_defaults(Request("d", line=3), defaults) == Request(
        "d", 3, "N", (("a", "1"), ("b", "2")), ("read:x",), None, KeyType.ED25519, 9
    )
    own = Request("d", 3, "M", (("b", "3"), ("c", "4")), ("read:y",), b"csr", KeyType.EC_P384, 7)
    assert with_defaults(own, defaults) == Request(
        "d", 3, "M", (("a", "1"), ("b", "3"), ("c", "4")), ("read:x", "read:y"), b"csr", KeyType.EC_P384, 7
    )


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "a" * 65, "ä"])
def test_names_that_no_attribute_has(name: str) -> None:
    with pytest.raises(PolicyError):
        check_attribute_name(name)


def test_names_and_values_at_their_limits() -> None:
    for name in ("a", "_", "0", "a" * 64, "A.b-c_d"):
        assert check_attribute_name(name) == name
    assert check_value("x", "y" * 1024) == "y" * 1024
    for value in ("y" * 1025, "a\nb", "\x1b[31m"):
        with pytest.raises(PolicyError):
            check_value("x", value)


def test_an_attribute_of_the_command_line() -> None:
    assert parse_attribute("line=A=3") == ("line", "A=3")
    for text in ("line", "=x", "name=x", "csr=x", "topics=x"):
        with pytest.raises(IotOnboardError):
            parse_attribute(text)
    with pytest.raises(UsageError):
        parse_attribute("device_id=x")


@pytest.mark.parametrize("field", ["device_id", "key_type", "validity_days", "x" * 81])
def test_a_long_text_is_quoted_in_part(field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_request({"device_id": "a", field: "x" * 81}, 1)
    assert f"'{'x' * 80}'" in caught.value.message
    with pytest.raises(UsageError) as wrong:
        parse_attribute("x" * 81)
    assert f"'{'x' * 80}'" in wrong.value.message


def test_a_device_that_no_list_names_has_no_line() -> None:
    assert Request().line == 0


def test_an_empty_field_says_nothing() -> None:
    fields = dict.fromkeys(("device_id", "name", "key_type", "validity_days", "topics", "line", "csr"), "")
    assert parse_request(fields, 4) == Request(None, line=4)


def test_a_refusal_tells_its_line_if_it_has_one() -> None:
    assert Refused("a", 7, PolicyError("why")).message == "line 7: why"
    assert Refused("a", 0, PolicyError("why")).message == "why"
