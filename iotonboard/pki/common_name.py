"""Serial number and commonName of a certificate, read from its octets alone: what a broker knows a device by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber
from iotonboard.pki import der

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.pki.der import Element

_OID = bytes.fromhex("0603550403")  # id-at-commonName (RFC 5280 appendix A.1)
_VERSION = 0xA0  # [0], which a certificate of version 1 lacks


def serial_and_common_name(certificate_der: bytes) -> tuple[SerialNumber, str]:
    """Read both without trusting the certificate (RFC 5280 4.1); the name is empty where the subject has none.

    Raises:
        PolicyError: these octets are no certificate.
    """
    try:
        tbs, *_ = der.children(certificate_der, der.whole(certificate_der))
        fields = [one for one in der.children(certificate_der, tbs) if one.tag != _VERSION]
        serial, subject = fields[0], fields[4]
        number = SerialNumber(int.from_bytes(certificate_der[serial.begin : serial.end]))
        return number, next(_common_names(certificate_der, subject), "")
    except (ValueError, IndexError) as error:
        raise PolicyError("this is not a certificate that can be read") from error


def _common_names(octets: bytes, name: Element) -> Iterator[str]:
    for relative in der.children(octets, name):
        for attribute in der.children(octets, relative):
            kind, value = der.children(octets, attribute)
            if octets[kind.start : kind.end] == _OID:
                yield octets[value.begin : value.end].decode("utf-8")
