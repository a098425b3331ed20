"""Certificates from a file that somebody named: one reader for every verb that takes one."""

from __future__ import annotations

from typing import Final

from iotonboard.errors import PolicyError
from iotonboard.pki.given import certificates_in
from iotonboard.reading import read_file

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
