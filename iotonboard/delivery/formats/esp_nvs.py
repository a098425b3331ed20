"""The CSV that ESP-IDF's NVS partition generator (``esp_idf_nvs_partition_gen generate``) takes.

Format: https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-reference/storage/nvs_partition_gen.html
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile, check_no_ed25519

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write a namespace with the credential.

    Its strings are ``device_id`` and ``serial``, its blobs ``device_key``, ``device_crt`` and ``ca_crt``.
    A blob is PEM with a NUL at the end: what esp-tls and esp-mqtt take as it is. Blobs, because a string ends
    at 4000 bytes and must fit into one page. ``device_key`` is absent when the device made its key.

    Raises:
        PolicyError: the key is Ed25519, which mbedTLS does not know.
    """
    check_no_ed25519(credential, "ESP-IDF")
    rows = [
        ("key", "type", "encoding", "value"),
        (options.nvs_namespace, "namespace", "", ""),
        ("device_id", "data", "string", str(credential.device_id)),
        ("serial", "data", "string", credential.serial.hex),
    ]
    if credential.key_pem is not None:
        rows.append(("device_key", "data", "base64", _blob(credential.key_pem)))
    rows.append(("device_crt", "data", "base64", _blob(credential.certificate_pem)))
    rows.append(("ca_crt", "data", "base64", _blob(credential.anchor_pem)))
    # No field can hold a comma, a quote or a line end, so the CSV needs no quoting.
    data = "".join(",".join(row) + "\n" for row in rows).encode("ascii")
    return (OutputFile(f"{credential.device_id}-nvs.csv", data, secret=credential.key_der is not None),)


def _blob(pem: bytes) -> str:
    return base64.b64encode(pem + b"\0").decode("ascii")
