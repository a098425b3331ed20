"""Distinguished Encoding Rules (X.690): a small writer and a strict reader, without any library.

The writer returns ``bytes`` for complete elements. The reader never copies: it hands out offsets into the
octets it was given, so it walks a certificate in microseconds and a large CRL without a second copy.
"""

from __future__ import annotations

from datetime import UTC
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from datetime import datetime

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

TRUE = b"\x01\x01\xff"
NULL = b"\x05\x00"
EMPTY_BIT_STRING = b"\x03\x01\x00"

_TOO_LONG = "malformed DER: an element is longer than its container"
_FIRST_GENERALIZED_YEAR = 2050  # RFC 5280 4.1.2.5
_FIRST_UTC_YEAR = 1950  # RFC 5280 4.1.2.5.1: YY >= 50 means 19YY


def header(tag: int, length: int) -> bytes:
    """Write identifier and length octets of an element with ``length`` content octets (X.690 8.1.3, 10.1)."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """Write one complete element with a one-octet tag."""
    length = len(content)
    return (bytes((tag, length)) if length < 0x80 else header(tag, length)) + content


def sequence(*parts: bytes) -> bytes:
    """Write a SEQUENCE of elements that are encoded already."""
    return tlv(SEQUENCE, b"".join(parts))


def explicit(number: int, content: bytes) -> bytes:
    """Write a context-specific, constructed ``[number] EXPLICIT`` element."""
    return tlv(0xA0 | number, content)


def integer(value: int) -> bytes:
    """Write an INTEGER in the fewest octets of two's complement (X.690 8.3.2)."""
    magnitude = value if value >= 0 else ~value
    return tlv(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, signed=True))


def enumerated(value: int) -> bytes:
    """Write an ENUMERATED value between 0 and 127."""
    return bytes((ENUMERATED, 1, value))


def octet_string(content: bytes) -> bytes:
    """Write an OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bit_string(content: bytes) -> bytes:
    """Write a BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00" + content)


@cache
def oid(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER from its dotted form (X.690 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OBJECT_IDENTIFIER, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(arc & 0x7F | 0x80)
    return bytes(reversed(octets))


def dotted(oid_der: bytes) -> str:
    """Write a complete OBJECT IDENTIFIER in its dotted form (X.690 8.19)."""
    arcs = [0]
    for octet in oid_der[read(oid_der).begin :]:
        arcs[-1] = arcs[-1] << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:-1])))


@lru_cache(maxsize=8)  # the certificates of a batch share their times
def x509_time(moment: datetime) -> bytes:
    """Write UTCTime until 2049 and GeneralizedTime from 2050, in UTC and whole seconds (RFC 5280 4.1.2.5).

    Raises:
        PolicyError: the year is before 1950, or the time has no time zone.

    """
    if moment.tzinfo is None:
        raise PolicyError("a time without a time zone cannot be encoded")
    utc = moment.astimezone(UTC)
    if utc.year < _FIRST_UTC_YEAR:
        raise PolicyError(f"the year {utc.year} cannot be written in a certificate", hint="check the clock")
    clock = b"%02d%02d%02d%02d%02dZ" % (utc.month, utc.day, utc.hour, utc.minute, utc.second)
    if utc.year < _FIRST_GENERALIZED_YEAR:
        return tlv(UTC_TIME, b"%02d" % (utc.year % 100) + clock)
    return tlv(GENERALIZED_TIME, b"%04d" % utc.year + clock)


class Element(NamedTuple):
    """Where one element lies: its content is ``octets[begin:end]``, the whole of it ``octets[start:end]``."""

    tag: int
    start: int
    begin: int
    end: int


_element = tuple.__new__  # as Element(...) does, without its call: a certificate is read in some fifty elements


def read(octets: bytes | memoryview, start: int = 0, limit: int | None = None) -> Element:
    """Read the header at ``start``; the element must end at or before ``limit`` (default: the end).

    Raises:
        PolicyError: truncated, indefinite or not the shortest length, or a tag of several octets.

    """
    limit = len(octets) if limit is None else limit
    if limit - start < 2 or octets[start] & 0x1F == 0x1F:
        raise PolicyError("malformed DER: truncated element or long tag")
    length, begin = octets[start + 1], start + 2
    if length >= 0x80:
        begin += length & 0x7F
        length = _long_length(bytes(octets[start + 2 : min(begin, limit)]), length & 0x7F)
    if begin + length > limit:
        raise PolicyError(_TOO_LONG)
    return _element(Element, (octets[start], start, begin, begin + length))


def _long_length(octets: bytes, count: int) -> int:
    """Decode a length of ``count`` octets; DER forbids the indefinite and any longer form (X.690 10.1)."""
    length = int.from_bytes(octets)
    if not 1 <= count <= 8 or len(octets) != count or octets[0] == 0 or length < 0x80:
        raise PolicyError("malformed DER: a length is not in its shortest form")
    return length


def children(octets: bytes | memoryview, parent: Element) -> list[Element]:
    """Read the elements inside a constructed element, in order.

    Raises:
        PolicyError: an element is malformed or does not end where its parent ends.

    """
    found = []
    _, _, position, end = parent
    while position < end:
        begin = position + 2
        # Most have one octet of length; everything else is read, or refused, with care.
        if begin < end and (length := octets[begin - 1]) < 0x80 and octets[position] & 0x1F != 0x1F:
            child = _element(Element, (octets[position], position, begin, begin + length))
        else:
            child = read(octets, position, end)
        if child[3] > end:
            raise PolicyError(_TOO_LONG)
        found.append(child)
        position = child[3]
    return found


def whole(octets: bytes | memoryview, tag: int = SEQUENCE) -> Element:
    """Read the one element that fills ``octets`` to the last octet.

    Raises:
        PolicyError: another tag, or something follows the element.

    """
    element = read(octets)
    if element.tag != tag or element.end != len(octets):
        raise PolicyError("malformed DER: an unexpected tag or octets after the end")
    return element
