"""What a root gives back for a request: a text file with the certificates of station and root, and the root's list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki import pem
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.given import certificates_in, crls_in

if TYPE_CHECKING:
    from collections.abc import Sequence

_HINT = "name the file that 'iotonboard ca sign' wrote at the root, or the root's newest crl.pem"


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """What a file from the root holds, DER: certificates, the station's among them, and lists."""

    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)


def render_answer(chain: Sequence[bytes], crl_der: bytes) -> bytes:
    """Write an answer: ``chain`` is the station's certificate and the root's, DER."""
    station, root = (certificate_facts(der) for der in (chain[0], chain[-1]))
    head = (
        "iotonboard CA answer v1\n"
        f"station: {station.subject_cn}\n"
        f"sha256: {station.fingerprint}\n"
        f"valid until: {rfc3339(station.validity.not_after)}\n"
        f"root: {root.subject_cn}\n"
        f"sha256: {root.fingerprint}\n"
    )
    blocks = [*(pem.pem_encode("CERTIFICATE", der) for der in chain), pem.pem_encode("X509 CRL", crl_der)]
    return head.encode("utf-8") + b"".join(blocks)


def read_answer(data: bytes) -> AnswerFile:
    """Read an answer, or a root's list alone.

    Raises:
        PolicyError: there is neither in it, or it is damaged.
    """
    has_certificates = b"CERTIFICATE" in data and b"BEGIN" in data
    try:
        certificates = certificates_in(data) if has_certificates else []
        crls = crls_in(data) if not certificates or b"CRL-----" in data else []
    except PolicyError as error:
        raise PolicyError(error.message, hint=_HINT) from error
    return AnswerFile(tuple(dict.fromkeys(certificates)), tuple(dict.fromkeys(crls)))
