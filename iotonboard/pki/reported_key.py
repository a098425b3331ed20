"""A public key as a device reports it: a chip that keeps its key may have no room to hash its certificate."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from iotonboard.errors import PolicyError
from iotonboard.pki import pem
from iotonboard.pki.keys import load_public_key, spki_der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve

_HINT = (
    "give the public key as PEM or DER, an EC point in hexadecimal (04... or 02/03...), or the 64 digits of the SHA-256"
    " of its SubjectPublicKeyInfo ('openssl pkey -pubin -outform DER | openssl dgst -sha256')"
)
_DIGEST_DIGITS = 64
_CURVES: dict[int, EllipticCurve] = {33: ec.SECP256R1(), 65: ec.SECP256R1(), 49: ec.SECP384R1(), 97: ec.SECP384R1()}


def reported_digits(text: str) -> bytes | None:
    """SHA-256 of the SubjectPublicKeyInfo of a key that was reported in hexadecimal; ``None``: the text is not that.

    Either that digest itself, or a point of P-256 or P-384 (SEC 1 section 2.3.3), compressed or not.

    Raises:
        PolicyError: the digits are no point of these curves.
    """
    digits = re.sub(r"[:\s]", "", text.rpartition("=")[2]).lower()
    if not re.fullmatch(r"(?:[0-9a-f]{2})+", digits):
        return None
    if len(digits) == _DIGEST_DIGITS:
        return bytes.fromhex(digits)
    octets = bytes.fromhex(digits)
    if len(octets) not in _CURVES or octets[0] not in (2, 3, 4):
        return None
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[len(octets)], octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PolicyError("these digits are no point of P-256 or P-384", hint=_HINT) from error
    return sha256(spki_der(point)).digest()


def reported_key(content: bytes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo (RFC 5280 4.1.2.7) of a public key in a file: PEM or DER.

    Raises:
        PolicyError: it holds none, or one that no device of this program has.
    """
    blocks = pem.pem_blocks("PUBLIC KEY", content) if b"-----BEGIN" in content else [content]
    if len(blocks) != 1:
        raise PolicyError(f"there are {len(blocks)} public keys in it, and one is needed", hint=_HINT)
    try:
        return sha256(spki_der(load_public_key(blocks[0]))).digest()
    except PolicyError as error:
        raise PolicyError(error.message, hint=_HINT) from error
