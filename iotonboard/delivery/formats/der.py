"""A folder of DER files, for TLS stacks without a PEM parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write ``device-key.der`` (PKCS#8, absent when the device made it), ``device.der`` and ``ca.der``.

    Intermediate issuers, if any, are ``issuer1.der`` and up, the device's issuer first; while a CA takes another
    one's place, the new one is ``ca2.der``.
    """
    del options
    files = [OutputFile("device.der", credential.certificate_der)]
    files += [OutputFile(f"issuer{number}.der", der) for number, der in enumerate(credential.chain[:-1], 1)]
    files += [
        OutputFile(f"ca{number if number > 1 else ''}.der", der) for number, der in enumerate(credential.anchor_ders, 1)
    ]
    if credential.key_der is not None:
        files.insert(0, OutputFile("device-key.der", credential.key_der, secret=True))
    return tuple(files)
