"""PKCS#12 (RFC 7292): key, certificate and issuers, and the CAs that the device trusts, marked so for Java.

Encrypted with PBES2: AES-256-CBC under PBKDF2-HMAC-SHA256, and HMAC-SHA256 over the whole. The same choice as OpenSSL 3
and Java make by default, and Windows under the name AES256_SHA256. ``legacy``: triple DES and SHA-1, which is what
macOS, older Android and older Windows read.

The library marks a CA as trusted in files without a key only (``serialize_java_truststore``). What it makes are
``ContentInfo`` that are encrypted each for itself, so those of two files can stand in one, under a MAC of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)

from iotonboard.delivery.formats.output import Options, OutputFile
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.pki import der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

    from iotonboard.delivery.credential import Credential

# Ten times OpenSSL's default, since a person may choose the password; Java accepts up to 5 000 000.
_KDF_ROUNDS = 20_000
_DATA = der.oid("1.2.840.113549.1.7.1")  # PKCS#7 data (RFC 2315 14)
_DIGESTS = {"sha256": der.oid("2.16.840.1.101.3.4.2.1"), "sha1": der.oid("1.3.14.3.2.26")}
_FOR_MAC = 3  # the purpose of octets (RFC 7292 B.3)


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Build a PKCS#12 file; the friendly name is the device id, that of a CA the start of its fingerprint.

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
    encryption = _encryption(password, legacy=options.legacy)
    own = serialize_key_and_certificates(
        name=credential.device_id.encode(),
        key=key,
        cert=x509.load_der_x509_certificate(credential.certificate_der),
        cas=[x509.load_der_x509_certificate(one) for one in credential.chain if one not in credential.anchor_ders],
        encryption_algorithm=encryption,
    )
    trusted = serialize_java_truststore([_trusted(one) for one in credential.anchor_ders], encryption)
    content = der.sequence(*_content_infos(own), *_content_infos(trusted))
    data = _under_mac(content, password, "sha1" if options.legacy else "sha256")
    return (OutputFile(f"{credential.file_name}.p12", data),)


def _encryption(password: str, *, legacy: bool) -> KeySerializationEncryption:
    algorithm = PBES.PBESv1SHA1And3KeyTripleDESCBC if legacy else PBES.PBESv2SHA256AndAES256CBC
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(algorithm)
        .hmac_hash(SHA1() if legacy else SHA256())  # noqa: S303 - what old readers know
        .build(password.encode("ascii"))
    )


def _trusted(certificate_der: bytes) -> PKCS12Certificate:
    """A CA under a name of its own."""
    name = f"CA {hashlib.sha256(certificate_der).hexdigest()[:16]}"
    return PKCS12Certificate(x509.load_der_x509_certificate(certificate_der), name.encode("ascii"))


def _content_infos(pfx: bytes) -> list[bytes]:
    """The parts of a file, each encrypted for itself: the ``AuthenticatedSafe`` (RFC 7292 4.1)."""
    _version, auth_safe, *_mac = der.children(pfx, der.whole(pfx))
    _type, content = der.children(pfx, auth_safe)
    (octets,) = der.children(pfx, content)
    safe = pfx[octets.begin : octets.end]
    return [safe[one.start : one.end] for one in der.children(safe, der.whole(safe))]


def _under_mac(content: bytes, password: str, digest: str) -> bytes:
    """A ``PFX`` of version 3 (RFC 7292 4) around an ``AuthenticatedSafe``, with its ``MacData``."""
    salt = os.urandom(hashlib.new(digest).digest_size)
    mac = hmac.digest(_mac_key(password, salt, digest), content, digest)
    digest_info = der.sequence(der.sequence(_DIGESTS[digest], der.NULL), der.octet_string(mac))
    return der.sequence(
        der.integer(3),
        der.sequence(_DATA, der.explicit(0, der.octet_string(content))),
        der.sequence(digest_info, der.octet_string(salt), der.integer(_KDF_ROUNDS)),
    )


def _mac_key(password: str, salt: bytes, digest: str) -> bytes:
    """Stretch a password (RFC 7292 B.2); a MAC's key is as long as one hash, so the first block is all of it."""
    block = hashlib.new(digest).block_size

    def filled(text: bytes) -> bytes:
        length = -(-len(text) // block) * block
        return (text * length)[:length]

    octets = bytes([_FOR_MAC]) * block + filled(salt) + filled(password.encode("utf-16-be") + b"\0\0")
    for _ in range(_KDF_ROUNDS):
        octets = hashlib.new(digest, octets).digest()
    return octets
