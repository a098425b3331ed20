"""Where the octets of a bundle are: every one of them belongs to an entry, to the directory, or to the end record.

A ZIP library finds the directory from the end and takes no notice of what lies before, between and behind the entries,
or of a local header that says something else: two programs may then read two different things in one file.

Formats: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end record).
"""

from __future__ import annotations

import struct
from typing import Final

# version needed, flags, method, time, date, CRC, both sizes, and the lengths of name and extra field
_SHARED: Final = struct.Struct("<5HLLLHH")
_PLACE: Final = struct.Struct("<HHHLL")  # of the directory: comment, disk, attributes of both kinds, position
_END: Final = struct.Struct("<4s4HLLH")
_LOCAL_MARK, _DIRECTORY_MARK, _END_MARK = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_ENCRYPTED: Final = 1  # the only flag: sizes stand in the header, names are ASCII
_AROUND: Final = 16 + 2 + 10  # salt, verifier and authentication code of an entry that AES-256 encrypts


def layout_problem(data: bytes) -> str:
    """Say where an archive is not laid out as bundles are; empty when it is.

    From the first octet on: each entry's local header and content behind the other, then a directory that says of each
    the same in the same order, then the end record, without a comment and up to the last octet.
    """
    try:
        return _problem(data)
    except struct.error:
        return "it ends too early"


def _problem(data: bytes) -> str:
    mark, *disks, count, total, size, position, comment = _END.unpack(data[-_END.size :])
    end = len(data) - _END.size
    if mark != _END_MARK or any(disks) or count != total or comment:
        return "it does not end as bundles do"
    if position + size != end:
        return "there is something between its entries and its end"
    at, here = position, 0
    for _ in range(count):
        problem, at, here = _entry_problem(data, at, here)
        if problem:
            return problem
    return "" if (at, here) == (end, position) else "there is something between its entries and its directory"


def _entry_problem(data: bytes, at: int, here: int) -> tuple[str, int, int]:
    """Hold the directory's entry ``at`` against the one that begins ``here``; with where both end."""
    shared, names, place, at_next = _directory_entry(data, at)
    packed, plain = shared[6:8]
    local = _LOCAL_MARK + _SHARED.pack(*shared) + names
    here_next = here + len(local) + packed
    if data[at : at + 4] != _DIRECTORY_MARK:
        return "its directory lacks an entry", at_next, here_next
    if place != here:
        return "there is something before or between its entries", at_next, here_next
    if data[here : here + len(local)] != local:
        return "its directory and an entry's own header differ", at_next, here_next
    if shared[1] != _ENCRYPTED or packed != plain + _AROUND:
        return "an entry's sizes cannot be", at_next, here_next
    return "", at_next, here_next


def _directory_entry(data: bytes, at: int) -> tuple[tuple[int, ...], bytes, int, int]:
    """What an entry of the directory shares with the local header, name and extra field, its place, and its end.

    A comment is no part of what is shared, so an entry that has one does not end where the next begins.
    """
    begin = at + 6  # behind the mark, and the version that made it
    shared = _SHARED.unpack_from(data, begin)
    begin += _SHARED.size
    _, _, _, _, place = _PLACE.unpack_from(data, begin)
    begin += _PLACE.size
    end = begin + shared[8] + shared[9]
    return shared, data[begin:end], place, end
