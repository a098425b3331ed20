"""The certificates of an office's further machines: CAs below the first one's, as stations are below a root."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from cryptography import x509

from iotonboard.errors import PolicyError
from iotonboard.model import Validity
from iotonboard.pki.ca_profiles import StationProfile
from iotonboard.pki.certificates import certify_station
from iotonboard.pki.facts import is_issued_by
from iotonboard.pki.issuer import load_issuer
from iotonboard.pki.key_id import name_and_key
from iotonboard.pki.keys import load_public_key
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.model import SerialNumber
    from iotonboard.pki.signatures import Signer


def certify_machine(first: bytes, signer: Signer, certificate: bytes, serial: SerialNumber, begin: datetime) -> bytes:
    """Certify name and key of a machine's own certificate (DER) by the first machine's; it lasts as long as that one.

    Raises:
        PolicyError: it is no certificate that the machine signed itself.
        LintError: a rule was broken; nothing was signed.
    """
    issuer = load_issuer(first, signer)
    try:
        with warnings.catch_warnings(action="ignore"):
            subject = x509.load_der_x509_certificate(certificate).subject
        is_own = is_issued_by(certificate, certificate)
    except UNREADABLE:
        is_own = False
    if not is_own:
        raise PolicyError("this is no certificate of a machine", hint="let it join anew: iotonboard init-office --join")
    public_key = load_public_key(name_and_key(certificate)[1])
    validity = Validity(begin, issuer.validity.not_after)
    return certify_station(issuer, public_key, subject, serial, validity, StationProfile())
