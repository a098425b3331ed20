"""PKCS#12 (RFC 7292) with PBES2: AES-256-CBC under PBKDF2-HMAC-SHA256, and HMAC-SHA256 over the whole.

The same choice as OpenSSL 3 and Java make by default, and Windows under the name AES256_SHA256.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.errors import KeyUnavailableError, PolicyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

    from iotonboard.delivery.credential import Credential

# Ten times OpenSSL's default, since a person may choose the password; Java accepts up to 5 000 000.
_KDF_ROUNDS = 20_000


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Build a PKCS#12 file with key, certificate and issuers; the friendly name is the device id.

    Raises:
        KeyUnavailableError: there is no key.
        PolicyError: the password is empty or not printable ASCII.
    """
    password = options.password or ""
    if not (password and password.isascii() and password.isprintable()):
        raise PolicyError("a PKCS#12 password must be printable ASCII text")
    if credential.key_der is None:
        raise KeyUnavailableError("a PKCS#12 file needs the private key")
    key: PKCS12PrivateKeyTypes = load_der_private_key(credential.key_der, None)  # type: ignore[assignment]
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(password.encode("ascii"))
    )
    authorities = dict.fromkeys((*credential.chain, *credential.anchor_ders))
    data = serialize_key_and_certificates(
        name=credential.device_id.encode(),
        key=key,
        cert=x509.load_der_x509_certificate(credential.certificate_der),
        cas=[x509.load_der_x509_certificate(der) for der in authorities],
        encryption_algorithm=encryption,
    )
    return (OutputFile(f"{credential.device_id}.p12", data),)
