"""Certificates from a file that somebody named: one reader for every verb that takes one."""

from __future__ import annotations

from typing import Final

from iotonboard.broker.foreign_mark import foreign_part
from iotonboard.broker.pem_views import view_client
from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.pki.given import certificates_in
from iotonboard.pki.pem import pem_blocks

_MAX_OCTETS: Final = 1 << 20


def read_certificate_file(path: str) -> list[bytes]:
    """Read every certificate of a file, DER, in its order; what stands beside them is passed over (``pki.given``).

    Raises:
        NotFoundError: there is no such file.
        ConflictError: it is larger than a mebibyte.
        PolicyError: it holds no certificate, or a damaged one.
    """
    try:
        return certificates_in(read_file(path, limit=_MAX_OCTETS))
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error


def read_anchors(path: str) -> list[bytes]:
    """Read the CAs of a file whose packages are believed, DER.

    A device's certificate beside them signs no package, whoever has its key, nor does a CA of others.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it holds no CA, or a damaged certificate.
    """
    others = set(pem_blocks("CERTIFICATE", foreign_part(read_file(path, limit=_MAX_OCTETS))))
    given = (der for der in read_certificate_file(path) if der not in others)
    anchors = [der for der in given if (view := view_client(der)) and view.is_ca]
    if not anchors:
        raise PolicyError(f"{path!r} holds no CA certificate", hint="name the ca.crt of the state with --ca")
    return anchors
