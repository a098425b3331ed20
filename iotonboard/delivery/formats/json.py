"""One JSON object, for whatever reads JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.model import certificate_json
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

SCHEMA = 1


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write an object with ``schema`` 1; ``private_key`` is null when the device made its key.

    ``chain`` is what a TLS client sends, the device's certificate first; ``ca`` is what it trusts. Times are
    RFC 3339 UTC, the serial is upper-case and fingerprints are lower-case hexadecimal.
    """
    del options
    key_pem = credential.key_pem
    content = {
        "schema": SCHEMA,
        "device_id": str(credential.device_id),
        **certificate_json(credential.serial, credential.validity, credential.fingerprint),
        "ca_fingerprint": credential.anchor_fingerprint,
        "private_key": None if key_pem is None else key_pem.decode("ascii"),
        "certificate": pem_encode("CERTIFICATE", credential.certificate_der).decode("ascii"),
        "chain": credential.certificate_pem.decode("ascii"),
        "ca": credential.anchor_pem.decode("ascii"),
    }
    data = json.dumps(content, indent=2).encode() + b"\n"
    return (OutputFile(f"{credential.file_name}.json", data, secret=key_pem is not None),)
