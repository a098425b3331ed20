"""The certificate by which a CA proves to a cloud that it has its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotonboard.pki.name_values import SUBJECT_ATTRIBUTES
from iotonboard.pki.profile_values import FilledProfile
from iotonboard.pki.profiled import issue_profiled

if TYPE_CHECKING:
    from iotonboard.model import SerialNumber, Validity
    from iotonboard.pki.issuer import Issuer
    from iotonboard.pki.keys import PublicKey

# id-kp-documentSigning (RFC 9336 section 3): a certificate that has a purpose is for no other (RFC 5280 4.2.1.12), and
# so no TLS server takes it for a client's, and no client for a server's.
PROOF_PURPOSE: Final = "1.3.6.1.5.5.7.3.36"


def issue_proof(
    issuer: Issuer,
    public_key: PublicKey,
    code: str,
    serial: SerialNumber,
    validity: Validity,
    *,
    subject_extra: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """Issue a certificate (DER) whose commonName is the code that a cloud gave, and which is for nothing else.

    As AWS (RegisterCACertificate, "verification certificate") and Azure ("proof of possession") ask for it.
    ``subject_extra``: attributes before the commonName, which the CA's root may insist on.

    Raises:
        PolicyError: the root does not permit the subject.
        LintError: a rule was broken; nothing was signed.
    """
    filled = FilledProfile(
        name="proof",
        subject=tuple((SUBJECT_ATTRIBUTES[name][0], text) for name, text in (*subject_extra, ("common_name", code))),
        san=(),
        key_usage=("digitalSignature",),
        eku=(PROOF_PURPOSE,),
        eku_is_critical=False,
        ends_never=False,
        extensions=(),
    )
    return issue_profiled(issuer, public_key, filled, serial, validity)
