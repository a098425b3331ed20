"""Lists as people and machines write them: what each row says, or in which line why it says nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from iotonboard.enrolment.csr_files import look_into, read_csr, read_csr_folder
from iotonboard.enrolment.device_list import (
    count_rows,
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


def test_marks_and_blanks_around_a_value_are_not_of_it() -> None:
    text = "id,where\na\xa0, Hall\xa03 \n\ufeffb,\u200b\n c\u200b\t,\u3000x\n"
    assert devices(text) == [
        Request("a", line=2, attributes=(("where", "Hall 3"),)),
        Request("b", line=3),
        Request("c", line=4, attributes=(("where", "x"),)),
    ]
    assert told(devices("id\na\u200bb\n")) == [("a\u200bb: 'a\\u200bb' is not a device id", 2)]


def test_a_row_without_an_id_is_refused_unless_that_is_asked_for() -> None:
    text = "device_id,line\n,A3\n"
    assert told(devices(text)) == [(",A3: this row names no device", 2)]
    asked = list(read_devices("-", io.BytesIO(text.encode()), needs_id=False))
    assert asked == [Request(None, line=2, attributes=(("line", "A3"),))]
    only = list(read_devices("-", io.BytesIO(b"line,hall\nA3,7\n"), needs_id=False))
    assert only == [Request(None, line=2, attributes=(("line", "A3"), ("hall", "7")))]


def test_rows_that_are_refused_stand_in_their_places() -> None:
    rows = devices('id,key_type,validity_days\na,,\nb,rsa,\nc,,0\nd,,x,y\n"e,,\n')
    assert told(rows) == [
        ("a", 2),
        ("b: 'rsa' is not a key type", 3),
        ("c: validity_days '0' is not a number of days", 4),
        ("d,,x,y: 4 values for 3 columns", 5),
        ('"e,,: a quote is never closed: nothing up to line 6, the last, was read', 6),
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
    "nothing": ("", "is empty"),
    "no id": ("name\n", "no column 'device_id'"),
    "a header of one column": ("Seriennummer\n0001\n", "no column 'device_id'"),
    "several columns and no header": ("press-1,A3\npress-2,A3\n", "no column 'device_id'"),
    "twice": ("id,line,line\n", "a column twice"),
    "twice once the blanks are gone": ("id,IMEI Number,IMEI_Number\n", "a column twice"),
    "two ids": ("device_id,id\n", "more than one column names the device"),
    "two spellings": ("device_id,Device ID\n", "more than one column names the device"),
    "ids of two programs": ("ThingName,id\n", "more than one column names the device"),
    "passwords": ("device_id,serial,bundle_password\n", "secrets"),
    "quotes": ('"id"x,name\n', "line 1"),
    "never closed": ('id,"name\n' * 200, "line 1"),
    "not UTF-8": (b"id,Gr\xf6\xdfe\na,1\n", "line 1: is not UTF-8 text"),
    "a NUL": ("id\0\na\n", "line 1: holds a NUL"),
    "one letter missing": ("device_id,validty_days\na,3\n", "one letter off 'validity_days'"),
    "one letter too many": ("device_id,topicss\na,3\n", "one letter off 'topics'"),
    "another letter": ("device_id,Key Tyqe\na,3\n", "one letter off 'key_type'"),
    "two letters changed places": ("devcie_id\na\n", "one letter off 'device_id'"),
}


@pytest.mark.parametrize(("text", "why"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_cannot_be_used_refuses_the_whole_list(text: str | bytes, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        devices(text)
    assert caught.value.hint


def test_a_row_that_is_not_text_harms_no_other() -> None:
    rows = devices(b"id,name\na,A\nm,M\xfcller\nb,B\n")
    assert told(rows) == [("a", 2), ("m,M\\xfcller: is not UTF-8 text", 3), ("b", 4)]


@pytest.mark.parametrize(
    ("header", "where"),
    [
        ("device_id", 0), ("Device ID", 0), ("device-id", 0), ("deviceId", 0), ("DEVICE_ID", 0), ("ID", 0), ("id", 0),
        ("ThingName", 0), ("thing_name", 0), ("Geräte-ID", 0), ('"Device\nID"', 1), ("\xa0Device ID\xa0", 0),
    ],
)  # fmt: skip
def test_common_names_of_the_column_of_ids(header: str, where: int) -> None:
    for delimiter in ",;\t|":
        for rest in ("Linie", "Linie" + 2 * delimiter):
            (row,) = devices(f"{header}{delimiter}{rest}\r\nlathe-1{delimiter}A3\r\n")
            assert row == Request("lathe-1", line=2 + where, attributes=(("Linie", "A3"),))
    assert targets(f"{header}\nlathe-1\n") == [Target("lathe-1", 2 + where)]


def test_the_column_of_ids_can_be_named() -> None:
    text = "name,type,id\nlathe-3,lathe,17\n,lathe,18\n"
    rows = list(read_devices("-", io.BytesIO(text.encode()), "name"))
    assert rows[0] == Request("lathe-3", line=2, attributes=(("type", "lathe"), ("id", "17")))
    assert told(rows[1:]) == [(",lathe,18: this row names no device", 3)]
    assert next(read_targets("-", io.BytesIO(text.encode()), "Name")) == Target("lathe-3", 2)
    with pytest.raises(PolicyError, match="no column 'nam'"):
        read_targets("-", io.BytesIO(text.encode()), "nam")
    (row,) = read_devices("-", io.BytesIO(b'{"name": "lathe-3", "id": 17}\n'), "name")
    assert row == Request("lathe-3", line=1, attributes=(("id", "17"),))


def test_columns_as_people_call_them() -> None:
    text = "Device ID,Name,Key Type,IMEI Number,Größe (mm),#,Nr.\na,A,ed25519,1,2,3,4\n"
    (row,) = devices(text)
    attributes = (("IMEI_Number", "1"), ("Groesse_mm", "2"), ("column_6", "3"), ("Nr.", "4"))
    assert row == Request("a", line=2, name="A", attributes=attributes, key_type=KeyType.ED25519)


def test_plain_ids_need_no_header() -> None:
    assert devices('a\n\n"b"\r\n c\xa0\nd') == [Request("a", 1), Request("b", 3), Request("c", 4), Request("d", 5)]
    assert told(devices("a\n\nb,,\nc,d\n")) == [("a", 1), ("b", 3), ("c,d: 2 values for 1 column", 4)]
    assert told(devices("a\ndevice_id\nb\n")) == [("a", 1), ("device_id: a header again", 2), ("b", 3)]


def test_no_row_is_lost_while_the_separator_is_found() -> None:
    rows = "".join(f'p-{number};"a;b"\n' for number in range(200))
    assert len(devices(f'Device ID;"19"" rack, or so"\n{rows}')) == 200
    assert len(devices(f'Device ID;x,"y\n{rows}')) == 200


def test_what_is_before_the_first_value() -> None:
    for begin in ("sep=;\r\n", '"sep=;"\r\n', "sep=;;;\n", "\ufeffsep=;\n", "\n\n"):
        (row,) = devices(begin + "device_id;name\r\na;x,y\r\n")
        assert isinstance(row, Request)
        assert (row.device_id, row.name) == ("a", "x,y")


def test_utf_16_as_excel_and_powershell_write_it() -> None:
    text = "Device ID\tName\r\na\tGröße\r\n"
    for encoding, mark in (("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-16-le", ""), ("utf-16-be", "")):
        assert devices((mark + text).encode(encoding)) == [Request("a", line=2, name="Größe")]
    half = ("\ufeff" + text + "b\tx").encode("utf-16-le")[:-1]
    assert told(devices(half)) == [("a", 2), ("b\t\\xff: is not UTF-8 text", 3)]
    lone = "\ufeffid\r\n\ud800\r\nb\r\n".encode("utf-16-le", "surrogatepass")
    assert [line for _, line in told(devices(lone))] == [2, 3]


@pytest.mark.parametrize("end", ["\r", "\r\r\n"])
def test_other_ends_of_lines(end: str) -> None:
    assert told(devices(end.join(("id,name", "a,x", "b,y", "")))) == [("a", 2), ("b", 3)]


def test_a_header_again_is_no_device() -> None:
    text = "device_id,name,line\r\nA,x,1\r\ndevice_id,name,line\r\nid,hall\r\nB,y,2\r\n"
    assert [line for _, line in told(devices(text))] == [2, 3, 4, 5]
    assert [type(row) for row in devices(text)] == [Request, Refused, Refused, Request]
    assert [type(row) for row in targets(text)] == [Target, Refused, Refused, Target]


def test_a_row_longer_than_its_header_is_refused_if_it_says_more() -> None:
    assert told(devices("id,name\na,x,,\nb,x,y\nc\n")) == [("a", 2), ("b,x,y: 3 values for 2 columns", 3), ("c", 4)]
    assert told(targets("id,name\nb,x,y\nc\n")) == [("b,x,y: 3 values for 2 columns", 2), ("c", 3)]


def test_a_value_without_a_column_is_refused() -> None:
    assert told(devices("id,,line\na,,1\nb,x,2\n")) == [("a", 2), ("b,x,2: a value in column 2, which has no name", 3)]


def test_nothing_inside_a_quote_is_a_row() -> None:
    inside = "\n".join(f"x-{number}" for number in range(30_000))
    long = f'id,note\na,"{inside}"\nb,\n'
    for rows in (told(devices(long)), told(targets(long))):
        assert rows == [
            ('a,"x-0: a value is longer than 128 KiB (it goes on to line 30001, which was not read)', 2),
            ("b", 30002),
        ]
    never = f'id,note\na,"{inside}\nb,\n'
    for rows in (told(devices(never)), told(targets(never))):
        assert rows == [('a,"x-0: a quote is never closed: nothing up to line 30002, the last, was read', 2)]


def test_a_quote_that_the_next_row_closes_is_no_value() -> None:
    text = 'id,note\na,"x\nb,"\nc,z\n'
    for rows in (targets(text), devices(text)):
        assert told(rows)[1:] == [("c", 4)]
        assert isinstance(rows[0], Refused)
        assert rows[0].line == 2 or not isinstance(rows[0], Target)
    assert targets('id,note\na,"two lines,\nboth of the note"\nb,\n') == [Target("a", 3), Target("b", 4)]


def test_quotes_as_people_use_them() -> None:
    text = 'id,size,note\na, "19"" rack" ,x\nb,19" rack,y\n'
    sizes = [dict(row.attributes)["size"] for row in devices(text) if isinstance(row, Request)]
    assert sizes == ['19" rack', '19" rack']


def test_a_line_without_end_ends_the_list() -> None:
    rows = told(devices("id\na\n" + "x" * (3 << 20) + "\nb\n"))
    assert [line for _, line in rows] == [2, 3]
    assert "longer than 1 MiB" in rows[1][0]


def test_numbers_that_a_spreadsheet_shortened_are_named() -> None:
    assert told(devices("id\n000123\n4.56789E+14\n4,5E+14\n"))[0] == ("000123", 2)
    assert all("spreadsheet" in text for text, _ in told(devices("id\n4.56789E+14\n4,5E+14\n4E5\n"))[:1])


def test_results_and_json_lines_name_devices_to_be_registered() -> None:
    text = "line,device_id,serial,fingerprint,bundle,status,error\n1,a,0A,ff,,created,\n2,b,,,,failed,why\n"
    assert devices(text) == [Request("a", line=2), Request("b", line=3)]
    lines = '{"device_id": "a", "line": "4"}\n\n{"schema": 1, "command": "list", "device_id": "b", "status": "x"}\n'
    assert devices(lines) == [Request("a", 1, attributes=(("line", "4"),)), Request("b", 3)]


def test_a_request_may_stand_in_the_row_itself() -> None:
    pem = "-----BEGIN CERTIFICATE REQUEST-----\nMII\n-----END CERTIFICATE REQUEST-----"
    assert devices(f'id,csr\na,"{pem}"\n') == [Request("a", line=4, csr=pem.encode())]
    assert devices(json.dumps({"ThingName": "a", "CSR": pem})) == [Request("a", line=1, csr=pem.encode())]


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
    with pytest.raises(NotFoundError, match="there is no file"):
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
    rows = streamed(
        b"\xef\xbb\xbfa\n", json.dumps(asked).encode(), b' {"device_id": "c"} \n', b'{"device_id": "d", "n": null}'
    )
    assert rows == [
        Request("a", line=1),
        Request("b", 2, "B", (("line", "4"),), ("read:a", "write:b"), validity_days=30),
        Request("c", line=3),
        Request("d", line=4),
    ]


def test_a_line_without_an_id_is_a_device_only_where_that_is_asked_for() -> None:
    assert told(streamed(b"{}\n", b'{"line": "A3"}\n')) == [
        ("{}: this line names no device", 1),
        ('{"line": "A3"}: this line names no device', 2),
    ]
    assert list(read_stream([b"{}\n"], needs_id=False)) == [Request(None, line=1)]
    assert list(read_stream([b'{"serial": 7, "id": "x"}\n'], "serial")) == [Request("7", 1, attributes=(("id", "x"),))]


def test_empty_lines_are_refused_and_pauses_are_not() -> None:
    empty, pause, blank, last, end = streamed(b"\n", None, b" \r\n", b"a\n", None)
    assert (pause, last, end) == (None, Request("a", line=3), None)
    assert told([empty, blank]) == [(": an empty line", 1), (": an empty line", 2)]


def test_a_last_line_without_end_may_be_cut_off() -> None:
    assert told(streamed(b"press-1\n", b"press-2")) == [
        ("press-1", 1),
        ("press-2: the last line has no end: the id may be cut off", 2),
    ]


BAD_LINES = {
    "no id": (b"a/b", "a/b", "is not a device id"),
    "no JSON": (b'{"device_id": ', '{"device_id":', "not a JSON object"),
    "deep": (b'{"a":' + b"[" * 100_000, '{"a":' + "[" * 195, "not a JSON object"),
    "attributes": (b'{"device_id": "x", "attributes": [1]}', None, "'attributes' must be an object"),
    "a list": (b'{"device_id": ["x"]}', None, "'device_id' must be a text or a whole number"),
    "true": (b'{"device_id": true}', None, "'device_id' must be a text or a whole number"),
    "a fraction": (b'{"device_id": "x", "validity_days": 1.5}', None, "'validity_days' must be"),
    "a field": (b'{"device_id": "x", "key_type": "rsa-512"}', "x", "'rsa-512' is not a key type"),
    "twice": (b'{"device_id": "x", "device_id": "y"}', None, "a key stands there twice"),
    "two ids": (b'{"device_id": "x", "id": "y"}', None, "more than one column names the device"),
    "twice in attributes": (b'{"id": "x", "line": "1", "attributes": {"line": "2"}}', None, "a column twice"),
    "a misspelt name": (b'{"device_id": "x", "valdity_days": 3}', None, "one letter off 'validity_days'"),
    "a misspelt id": (b'{"devce_id": "x"}', None, "one letter off 'device_id'"),
    "a header": (b"device_id", None, "is a header"),
    "a NUL": (b"a\0b", None, "holds a NUL"),
    "too long": (b"x" * (1 << 21), "x" * 200, "longer than 1 MiB"),
    "not UTF-8": (b"caf\xe9", "caf\\xe9", "not UTF-8 text"),
    "no request": (b'{"device_id": "x", "csr": "no.csr"}', "x", "there is no file"),
}


@pytest.mark.parametrize(("line", "name", "why"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_refused(line: bytes, name: str | None, why: str) -> None:
    first, refused, last = streamed(b"a\n", line + b"\n", b"b\n")
    assert (first, last) == (Request("a", line=1), Request("b", line=3))
    assert isinstance(refused, Refused)
    assert refused.line == 2
    assert refused.device_id == (line.decode() if name is None else name)
    assert why in refused.message


# -- a folder of requests ------------------------------------------------------------------------------------------


def test_a_folder_of_requests_in_the_order_of_the_names(tmp_path: Path) -> None:
    for name in ("b.csr", "a.PEM", "c.der", "d.p10", "notes.txt", "no id.csr"):
        (tmp_path / name).write_bytes(name.encode())
    rows = list(read_csr_folder(look_into(str(tmp_path))))
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
        look_into(str(tmp_path))
    with pytest.raises(NotFoundError, match="there is no folder"):
        look_into(str(tmp_path / "no"))


def test_one_request_from_a_file_or_stdin(tmp_path: Path) -> None:
    (tmp_path / "csr").write_bytes(b"one")
    (tmp_path / "large").write_bytes(bytes((1 << 16) + 1))
    assert read_csr(str(tmp_path / "csr"), io.BytesIO(b"other")) == b"one"
    assert read_csr("-", io.BytesIO(b"other")) == b"other"
    with pytest.raises(ConflictError):
        read_csr(str(tmp_path / "large"), io.BytesIO())


# -- devices that are there already --------------------------------------------------------------------------------


def test_targets_of_a_csv_with_what_it_says() -> None:
    serial = "4" * 40
    rows = targets(f"\ufeffdevice_id;serial;note;fingerprint\r\na;{serial};;ff\r\n;0B;;\r\n\r\nc\r\n")
    assert rows == [Target("a", 2, serial, "ff", is_reported=True), Target("", 3, "0B"), Target("c", 5)]
    assert targets("serial\n0A\n") == [Target("", 2, "0A")]
    assert told(targets("device_id,note\n,x\n")) == [(",x: this row names no device", 2)]


def test_a_status_of_the_plants_own_passes_over_nothing() -> None:
    assert targets("device_id,status\na,failed\nb,ok\n") == [Target("a", 2), Target("b", 3)]
    assert targets('{"id": "a", "status": "failed"}\n') == [Target("a", 1)]


def test_fingerprints_are_proof_only_where_devices_reported_them() -> None:
    own = "line,device_id,serial,fingerprint,bundle,status,error\n1,a,0A,ff,,created,\n"
    assert targets(own) == [Target("a", 2, "0A", "ff")]
    printed = {"schema": 1, "command": "register", "device_id": "a", "serial": "0A", "fingerprint": "ff"}
    assert targets(json.dumps(printed)) == [Target("a", 1, "0A", "ff")]
    for column in ("fingerprint", "reported_fingerprint", "Reported Fingerprint"):
        assert targets(f"device_id,{column}\na,ff\n") == [Target("a", 2, fingerprint="ff", is_reported=True)]


def test_a_list_that_may_be_cut_off_is_told() -> None:
    said: list[str] = []
    assert list(read_targets("-", io.BytesIO(b"a\nb"), tell=said.append)) == [Target("a", 1), Target("b", 2)]
    assert len(said) == 1
    assert "line 2" in said[0]
    rows = list(read_targets("-", io.BytesIO(b"a\npress-1"), needs_end=True))
    assert told(rows) == [("a", 1), ("press-1: the last line has no end: the list may have been cut off there", 2)]
    whole_id = list(read_targets("-", io.BytesIO(b"id,why\na,sto"), needs_end=True))
    assert whole_id[0] == Target("a", 2)
    assert isinstance(whole_id[1], Refused)
    assert next(read_targets("-", io.BytesIO(b'{"id": "a"}'), needs_end=True)) == Target("a", 1)


@pytest.mark.parametrize("column", ["device_id", "id", "device"])
def test_the_columns_that_name_a_device(column: str) -> None:
    assert targets(f"{column}\na\n") == [Target("a", 2)]


def test_one_id_a_line_needs_no_header() -> None:
    assert targets("a\n\n b \r\nc") == [Target("a", 1), Target("b", 3), Target("c", 4)]
    assert targets("") == []


def test_failed_rows_of_results_are_passed_over_by_name() -> None:
    text = "line,device_id,serial,fingerprint,bundle,status,error\n1,a,0A,ff,,created,\n2,b,,,,failed,why\n"
    assert told(targets(text)) == [("a", 2), ("b: passed over, for it failed: why", 3)]
    names = text.splitlines()[0].split(",")
    lines = [dict(zip(names, line.split(","), strict=True)) for line in text.splitlines()[1:]]
    assert told(targets("\n".join(map(json.dumps, lines)))) == [("a", 1), ("b: passed over, for it failed: why", 2)]
    own = list(read_targets("-", io.BytesIO(b"id,status\na,failed\nb,done\n"), refuse_failed=True))
    assert told(own) == [("a: passed over, for it failed: the list does not say why", 2), ("b", 3)]


def test_targets_that_are_refused_stand_in_their_places() -> None:
    rows = targets('{"device_id": "a"}\n\n[1]\n{"id": "b"}\n{')
    assert [line for _, line in told(rows)] == [1, 3, 4, 5]
    assert told(rows)[1] == ("[1]: not a JSON object", 3)
    assert [line for _, line in told(targets('id,x\na,"b"c\nd,\n'))] == [2, 3]


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
        parse_request("x" * 81 if field == "device_id" else "a", {field: "x" * 81}, 1)
    assert f"'{'x' * 80}'" in caught.value.message
    with pytest.raises(UsageError) as wrong:
        parse_attribute("x" * 81)
    assert f"'{'x' * 80}'" in wrong.value.message


def test_a_device_that_no_list_names_has_no_line() -> None:
    assert Request().line == 0


def test_an_empty_field_says_nothing() -> None:
    fields = dict.fromkeys(("name", "key_type", "validity_days", "topics", "line", "csr"), "")
    assert parse_request("", fields, 4) == Request(None, line=4)


def test_a_refusal_tells_its_line_if_it_has_one() -> None:
    assert Refused("a", 7, PolicyError("why")).message == "line 7: why"
    assert Refused("a", 0, PolicyError("why")).message == "why"
