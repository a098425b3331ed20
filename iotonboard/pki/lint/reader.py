"""A certificate of the profile taken apart (RFC 5280 4.1) from its octets alone, strictly.

The lint sees everything as it is encoded, and shares no line of code with the library that encodes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from iotonboard.errors import PolicyError
from iotonboard.pki import der
from iotonboard.pki.lint.names import Name, read_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION_TAG: Final = 0xA0
_EXTENSIONS_TAG: Final = 0xA3
_TBS_TAGS: Final = [_VERSION_TAG, der.INTEGER, *[der.SEQUENCE] * 5, _EXTENSIONS_TAG]
_TAGS: Final = [der.SEQUENCE, der.SEQUENCE, der.BIT_STRING]
_EXTENSION_TAGS: Final = (
    [der.OBJECT_IDENTIFIER, der.OCTET_STRING],
    [der.OBJECT_IDENTIFIER, der.BOOLEAN, der.OCTET_STRING],
)
_TRUE: Final = b"\xff"
_TIMES_KEPT: Final = 8  # the certificates of a batch share theirs
_EXTENSIONS_KEPT: Final = 32  # all devices have the same but for two
_UTC_DIGITS, _GENERALIZED_DIGITS = 12, 14
_FIRST_TWO_DIGIT_YEAR: Final = 50  # RFC 5280 4.1.2.5.1: YY >= 50 means 19YY


@dataclass(frozen=True, slots=True)
class EncodedTime:
    """A Time as it is encoded: tag and content."""

    tag: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension; ``value`` is what its OCTET STRING holds."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of a TBSCertificate. Names, algorithms and keys are DER; ``serial`` is an INTEGER's content.

    ``extensions`` are found by their OBJECT IDENTIFIER (DER).
    """

    version: bytes
    serial: bytes
    signature_algorithm: bytes
    issuer_der: bytes
    times: tuple[EncodedTime, EncodedTime]
    not_before: datetime
    not_after: datetime
    subject_der: bytes
    subject: Name
    spki_der: bytes
    extensions: Mapping[bytes, Extension]


def read_certificate(octets: bytes, *, with_subject: bool = True) -> Certificate:
    """Take a certificate apart. No signature is verified; ``with_subject`` as for ``read_tbs``.

    Raises:
        PolicyError: as ``read_tbs``, or it names another algorithm than its TBSCertificate (RFC 5280 4.1.1.2).

    """
    parts = tbs, algorithm, signature = _exactly(octets, der.whole(octets), 3)
    unused_bits = octets[signature.begin : signature.end][:1]
    if [part.tag for part in parts] != _TAGS or unused_bits != b"\0":
        raise PolicyError("a part of the certificate is of another type")
    certificate = read_tbs(octets[tbs.start : tbs.end], with_subject=with_subject)
    if octets[algorithm.start : algorithm.end] != certificate.signature_algorithm:
        raise PolicyError("the certificate names two signature algorithms")
    return certificate


def read_tbs(octets: bytes, *, with_subject: bool = True) -> Certificate:
    """Take a TBSCertificate apart; the subject's attributes ``with_subject`` alone.

    Raises:
        PolicyError: malformed DER, not of version 2 or 3, a time that is none, or an extension twice.

    """
    fields = _exactly(octets, der.whole(octets), 8)
    version, serial, algorithm, issuer, validity, subject, spki, extensions = fields
    if [field.tag for field in fields] != _TBS_TAGS:
        raise PolicyError("a field of the certificate is of another type")
    times, not_before, not_after = _validity(octets[validity.start : validity.end])
    return Certificate(
        version=octets[version.begin : version.end],
        serial=_integer(octets[serial.begin : serial.end]),
        signature_algorithm=octets[algorithm.start : algorithm.end],
        issuer_der=octets[issuer.start : issuer.end],
        times=times,
        not_before=not_before,
        not_after=not_after,
        subject_der=octets[subject.start : subject.end],
        subject=read_name(octets[subject.start : subject.end]) if with_subject else (),
        spki_der=octets[spki.start : spki.end],
        extensions=_extensions(octets, extensions),
    )


def _exactly(octets: bytes, parent: der.Element, count: int) -> list[der.Element]:
    found = der.children(octets, parent)
    if len(found) != count:
        raise PolicyError("a part of the certificate has fields too few or too many")
    return found


def _integer(content: bytes) -> bytes:
    """Check the content of an INTEGER: in the fewest octets (X.690 8.3.2)."""
    if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise PolicyError("malformed DER: a number is not in its shortest form")
    return content


@lru_cache(maxsize=_TIMES_KEPT)
def _validity(octets: bytes) -> tuple[tuple[EncodedTime, EncodedTime], datetime, datetime]:
    begin, end = _exactly(octets, der.whole(octets), 2)
    first = EncodedTime(begin.tag, octets[begin.begin : begin.end])
    last = EncodedTime(end.tag, octets[end.begin : end.end])
    return (first, last), _moment(first.tag, first.content), _moment(last.tag, last.content)


def _moment(tag: int, content: bytes) -> datetime:
    digits = content[:-1]
    count = {der.UTC_TIME: _UTC_DIGITS, der.GENERALIZED_TIME: _GENERALIZED_DIGITS}.get(tag)
    if len(digits) != count or not digits.isdigit() or content[-1:] != b"Z":
        raise PolicyError("a time is not written with seconds and Z")
    if tag == der.UTC_TIME:
        digits = (b"20" if int(digits[:2]) < _FIRST_TWO_DIGIT_YEAR else b"19") + digits
    month, day, hour, minute, second = (int(digits[start : start + 2]) for start in range(4, _GENERALIZED_DIGITS, 2))
    try:
        return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise PolicyError(f"a time does not exist: {error}") from None


def _extensions(octets: bytes, wrapper: der.Element) -> dict[bytes, Extension]:
    (listed,) = _exactly(octets, wrapper, 1)
    found: dict[bytes, Extension] = {}
    if listed.tag != der.SEQUENCE:
        raise PolicyError("the extensions are malformed")
    for element in der.children(octets, listed):
        name, extension = _extension(octets[element.start : element.end])
        if name in found:
            raise PolicyError("an extension stands there twice")
        found[name] = extension
    return found


@lru_cache(maxsize=_EXTENSIONS_KEPT)
def _extension(octets: bytes) -> tuple[bytes, Extension]:
    element = der.read(octets)
    parts = der.children(octets, element)
    if element.tag != der.SEQUENCE or [part.tag for part in parts] not in _EXTENSION_TAGS:
        raise PolicyError("an extension is malformed")
    identifier, *flag, value = parts
    if flag and octets[flag[0].begin : flag[0].end] != _TRUE:  # X.690 11.1, 11.5: TRUE is FF, FALSE left out
        raise PolicyError("malformed DER: an extension's flag is not written as DER does")
    return octets[identifier.start : identifier.end], Extension(bool(flag), octets[value.begin : value.end])
