"""The CSV that ``configure_esp_secure_cert.py --esp_secure_cert_csv`` (esp-secure-cert-tool 2.6) takes.

Format: https://github.com/espressif/esp_secure_cert_mgr/tree/main/tools
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from iotonboard.delivery.formats.output import Options, OutputFile, check_no_ed25519

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

_COLUMNS = "tlv_type,tlv_subtype,data_value,data_type,priv_key_type,algorithm,key_size,efuse_id,efuse_key"


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write one row per TLV, DER in base64, so that the file needs no others beside it.

    The anchor is CA certificate 0; a second anchor and intermediate issuers are 1 and up: the tool keeps one
    certificate per TLV. The key is to be stored as it is (``plaintext``) and absent when the device made it.

    Raises:
        PolicyError: the key is Ed25519, which mbedTLS does not know.
    """
    del options
    check_no_ed25519(credential, "esp_secure_cert")
    rows = [_COLUMNS]
    for subtype, der in enumerate((*credential.anchor_ders, *credential.chain[:-1])):
        rows.append(_row("ESP_SECURE_CERT_CA_CERT_TLV", subtype, der))
    rows.append(_row("ESP_SECURE_CERT_DEV_CERT_TLV", 0, credential.certificate_der))
    if credential.key_der is not None:
        rows.append(_row("ESP_SECURE_CERT_PRIV_KEY_TLV", 0, credential.key_der, key_type="plaintext"))
    data = "".join(row + "\n" for row in rows).encode("ascii")
    return (OutputFile(f"{credential.file_name}-secure-cert.csv", data, secret=credential.key_der is not None),)


def _row(tlv_type: str, subtype: int, der: bytes, key_type: str = "") -> str:
    return f"{tlv_type},{subtype},{base64.b64encode(der).decode('ascii')},base64,{key_type},,,,"
