"""Console commands that put key and certificate into Tasmota's key store (a build with ``USE_MQTT_AWS_IOT``).

Format: https://tasmota.github.io/docs/AWS-IoT-cert/, "Configure the Private Key and Certificate".
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

# PKCS#8 of a P-256 key (RFC 5958) around ECPrivateKey (RFC 5915), up to the 32 octets of the key itself. The first
# length and the two inside differ with what follows the key.
_ALGORITHM = bytes.fromhex("020100301306072a8648ce3d020106082a8648ce3d03010704")
_SCALAR = bytes.fromhex("0201010420")


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``TLSKey1``, the 32 octets of the key, and ``TLSKey2``, the certificate in DER, to be typed in this order.

    Tasmota sends one certificate: a broker has to know intermediate issuers itself. ``TLSKey1`` is absent when the
    device made its key.

    Raises:
        PolicyError: the key is not P-256.
    """
    del options
    lines = [f"TLSKey2 {_base64(credential.certificate_der)}\n"]
    if credential.key_der is not None:
        lines.insert(0, f"TLSKey1 {_base64(_p256_scalar(credential.key_der))}\n")
    is_secret = credential.key_der is not None
    return (OutputFile(f"{credential.file_name}-tasmota.txt", "".join(lines).encode("ascii"), secret=is_secret),)


def _p256_scalar(key_der: bytes) -> bytes:
    """The 32 octets of a P-256 key."""
    begin = key_der.find(_SCALAR) + len(_SCALAR)
    if _ALGORITHM not in key_der[:32] or begin < len(_SCALAR):
        raise PolicyError("Tasmota takes P-256 keys only", hint="register the device with --key-type ec-p256")
    return key_der[begin : begin + 32]


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
