"""One PEM file with everything, for programs that take a single certificate file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write key (when there is one), device certificate and issuers in this order (RFC 8446 4.4.2)."""
    del options
    key_pem = credential.key_pem
    data = (key_pem or b"") + credential.certificate_pem + credential.anchor_pem
    return (OutputFile(f"{credential.file_name}.pem", data, secret=key_pem is not None),)
