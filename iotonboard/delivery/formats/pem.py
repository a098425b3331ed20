"""A folder of PEM files (RFC 7468), the way OpenSSL, mbedTLS and curl take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``device.key`` (PKCS#8, absent when the device made it), ``device.crt`` and ``ca.crt``.

    ``device.crt`` holds what a TLS client sends: intermediate issuers follow the device's certificate.
    """
    del options
    files = [
        OutputFile("device.crt", credential.certificate_pem),
        OutputFile("ca.crt", credential.anchor_pem),
    ]
    if credential.key_pem is not None:
        files.insert(0, OutputFile("device.key", credential.key_pem, secret=True))
    return tuple(files)
