"""Whatever a list holds: each row is a device that it names, or refused with a documented error."""

from __future__ import annotations

import csv
import io
import os

from hypothesis import given, settings
from hypothesis import strategies as st
from iotonboard.enrolment.device_list import read_devices, read_stream, read_targets
from iotonboard.enrolment.request import Request
from iotonboard.errors import IotOnboardError
from iotonboard.model import Refused, Target

_MANY = settings(max_examples=int(os.environ.get("IOTB_EXAMPLES", "25")) * 4, deadline=None, derandomize=True)
_IDS = st.from_regex(r"press-[0-9]{1,6}", fullmatch=True)
_VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf")), max_size=20)
_JUNK = st.lists(
    st.sampled_from(
        [b"device_id", b"Device ID", b",", b";", b"\t", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff\xfe",
         b"\xef\xbb\xbf",
         b"sep=;", b"press-1", b"press-2", b"{", b'{"id": "press-3"}', b"[", b"\xfc", b"\xa0", b" ", b"line",
         b"=", b"x" * 5000]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@_MANY
@given(octets=st.one_of(_JUNK, st.binary(max_size=200)), id_column=st.sampled_from(["", "line", "press-1"]))
def test_any_octets_are_devices_or_documented_errors(octets: bytes, id_column: str) -> None:
    for read in (read_devices, read_targets):
        try:
            rows = list(read("-", io.BytesIO(octets), id_column))
        except IotOnboardError:
            continue
        assert len(rows) <= octets.count(b"\n") + octets.count(b"\r") + 1
        for row in rows:
            assert isinstance(row, Refused | Request | Target)
            if isinstance(row, Refused):
                assert row.error.message
            else:
                assert row.line
                assert row.device_id or (isinstance(row, Target) and row.serial)
    stream = list(read_stream(octets.splitlines(keepends=True)))
    assert len(stream) == len(octets.splitlines())
    assert all(isinstance(row, Refused | Request) for row in stream)


@_MANY
@given(
    rows=st.lists(st.tuples(_IDS, _VALUES), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from(["device_id", "Device ID", "deviceId", "ThingName", "id"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_spreadsheet_wrote_is_read_as_it_was_meant(
    rows: list[tuple[str, str]], delimiter: str, end: str, header: str, encoding: str, quoting: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow((header, "Hall"))
    writer.writerows(rows)
    octets = text.getvalue().encode(encoding)
    found = list(read_devices("-", io.BytesIO(octets)))
    assert [row.device_id for row in found] == [name for name, _ in rows]
    assert [row.line for row in found] == list(range(2, len(rows) + 2))
    assert [row.device_id for row in read_targets("-", io.BytesIO(octets))] == [name for name, _ in rows]


@_MANY
@given(
    before=st.lists(_IDS, max_size=5, unique=True),
    inside=st.lists(_IDS, max_size=50),
    after=st.lists(_IDS, max_size=5, unique=True),
    is_closed=st.booleans(),
)
def test_nothing_inside_a_quote_is_a_device(
    before: list[str], inside: list[str], after: list[str], is_closed: bool
) -> None:
    lines = [
        *before,
        'odd,"',
        *(f"in-{name}" for name in inside),
        '"' if is_closed else "",
        *(f"af-{n}" for n in after),
    ]
    octets = "\n".join(["device_id,note", *lines, ""]).encode()
    for read in (read_devices, read_targets):
        named = [row.device_id for row in read("-", io.BytesIO(octets)) if not isinstance(row, Refused)]
        assert not any(name and name.startswith("in-") for name in named)
        assert named[: len(before)] == before
        assert [name for name in named if name and name.startswith("af-")] == [f"af-{n}" for n in after if is_closed]
