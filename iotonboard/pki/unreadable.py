"""What the library raises for octets that it cannot read: several families, in one place."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE_KEY: Final = (ValueError, TypeError, UnsupportedAlgorithm)


def unreadable(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Name what the reading of certificates, requests and CRLs raises; asked for only when something was raised."""
    return (*others, *UNREADABLE_KEY, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
