"""Key pairs: generated, stored as PKCS #8 (RFC 5958), encrypted with PBES2 (RFC 8018), recognised.

The library fixes 2048 PBKDF2 iterations, too few for a passphrase that a person chose and needlessly many
for a random secret; so EncryptedPrivateKeyInfo is assembled here.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeAlias, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.parse_errors import UNREADABLE

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

# OWASP's figure of 2023 for PBKDF2-HMAC-SHA256: about a quarter of a second per guess on one core.
HUMAN_ITERATIONS: Final = 600_000
# For secrets of at least 128 random bits: stretching adds nothing to them (RFC 8018 section 4 stretches
# because passwords are guessable), and thousands of device keys per second pay for every iteration.
RANDOM_ITERATIONS: Final = 100

_CURVES: Final = {KeyType.EC_P256: ec.SECP256R1(), KeyType.EC_P384: ec.SECP384R1()}
_MODULUS_BITS: Final = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.RSA_4096: 4096}
_CURVE_TYPES: Final = {curve.name: key_type for key_type, curve in _CURVES.items()}
_MODULUS_TYPES: Final = {bits: key_type for key_type, bits in _MODULUS_BITS.items()}
_SUPPORTED: Final = "use one of: " + ", ".join(KeyType)

_PBES2: Final = der.oid("1.2.840.113549.1.5.13")
_PBKDF2: Final = der.oid("1.2.840.113549.1.5.12")
_HMAC_SHA256: Final = der.sequence(der.oid("1.2.840.113549.2.9"), der.NULL)
_AES256_CBC: Final = der.oid("2.16.840.1.101.3.4.1.42")
_BLOCK_OCTETS: Final = 16
_KEY_OCTETS: Final = 32


def generate_key(key_type: KeyType) -> PrivateKey:
    """Make a new key pair; RSA keys have the public exponent 65537 (FIPS 186-5 A.1.1)."""
    if key_type in _CURVES:
        return ec.generate_private_key(_CURVES[key_type])
    if key_type in _MODULUS_BITS:
        return rsa.generate_private_key(65537, _MODULUS_BITS[key_type])
    return ed25519.Ed25519PrivateKey.generate()


def dump_key(key: PrivateKey) -> bytes:
    """Write an unencrypted PKCS #8 PrivateKeyInfo as DER (RFC 5958 section 2); keep it off the disk."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def spki_der(public_key: PublicKey) -> bytes:
    """Write SubjectPublicKeyInfo as DER (RFC 5280 4.1.2.7); EC points uncompressed."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_public_key(octets: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo (DER).

    Raises:
        PolicyError: not a public key, or of a type or size that is not supported.

    """
    public_key = read_public_key(octets)
    key_type_of(public_key)
    return cast("PublicKey", public_key)


def read_public_key(octets: bytes) -> object:
    """Read a SubjectPublicKeyInfo (DER), of whatever type.

    Raises:
        PolicyError: not a public key.

    """
    try:
        return serialization.load_der_public_key(octets)
    except UNREADABLE as error:
        raise PolicyError("this is not a public key that can be read", hint=_SUPPORTED) from error


def key_identifier(public_key: PublicKey) -> bytes:
    """Identify a public key: 160 bits of SHA-256 over its BIT STRING (RFC 7093 section 2, method 1)."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        value = public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    elif isinstance(public_key, rsa.RSAPublicKey):
        value = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    else:
        value = public_key.public_bytes_raw()
    return sha256(value).digest()[:20]


def encrypt_key(key_der: bytes, passphrase: bytes, *, iterations: int, salt: bytes, iv: bytes) -> bytes:
    """Encrypt a PrivateKeyInfo into a DER EncryptedPrivateKeyInfo (RFC 5958 section 3).

    PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018 6.2, A.2, B.2.5). ``salt`` has at least 8 and
    ``iv`` exactly 16 octets, both random and never used before. ``openssl pkey -passin`` opens the result.

    Raises:
        PolicyError: salt, iv, iterations or passphrase are out of range.

    """
    if len(salt) < 8 or len(iv) != _BLOCK_OCTETS or iterations < 1 or not passphrase:
        raise PolicyError("cannot encrypt a key: empty passphrase, short salt or bad iv")
    secret = PBKDF2HMAC(SHA256(), _KEY_OCTETS, salt, iterations).derive(passphrase)
    padding = _BLOCK_OCTETS - len(key_der) % _BLOCK_OCTETS
    encryptor = Cipher(AES256(secret), CBC(iv)).encryptor()
    encrypted = encryptor.update(key_der + bytes((padding,)) * padding) + encryptor.finalize()
    kdf = der.sequence(_PBKDF2, der.sequence(der.octet_string(salt), der.integer(iterations), _HMAC_SHA256))
    scheme = der.sequence(_AES256_CBC, der.octet_string(iv))
    return der.sequence(der.sequence(_PBES2, der.sequence(kdf, scheme)), der.octet_string(encrypted))


def kdf_iterations(encrypted_key_der: bytes) -> int | None:
    """Read the PBKDF2 iterations of an EncryptedPrivateKeyInfo; None for anything else, such as scrypt."""
    try:
        return _pbkdf2_iterations(encrypted_key_der)
    except (PolicyError, ValueError):
        return None


def _pbkdf2_iterations(octets: bytes) -> int | None:
    """Walk to PBKDF2-params.iterationCount (RFC 8018 A.2)."""
    algorithm, _encrypted = der.children(octets, der.whole(octets))
    scheme, parameters = der.children(octets, algorithm)
    if octets[scheme.start : scheme.end] != _PBES2:
        return None
    kdf, _cipher = der.children(octets, parameters)
    kdf_oid, kdf_parameters = der.children(octets, kdf)
    if octets[kdf_oid.start : kdf_oid.end] != _PBKDF2:
        return None
    _salt, count, *_rest = der.children(octets, kdf_parameters)
    return int.from_bytes(octets[count.begin : count.end]) if count.tag == der.INTEGER else None


def load_key(data: bytes, passphrase: bytes | None) -> PrivateKey:
    """Read a private key, PEM or DER, encrypted or not; a passphrase that is not needed is ignored.

    Raises:
        KeyUnavailableError: not a private key, wrong passphrase, encrypted and no passphrase given, or of a
            type that is not supported.

    """
    return checked_key(_load_any(data, passphrase or None))


def checked_key(key: object) -> PrivateKey:
    """Take a private key that the library read.

    Raises:
        KeyUnavailableError: its type is not supported.

    """
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise KeyUnavailableError("the private key's type is not supported", hint=_SUPPORTED)
    try:
        key_type_of(key.public_key())
    except PolicyError as error:
        raise KeyUnavailableError(error.message, hint=error.hint) from error
    return key


def _load_any(data: bytes, passphrase: bytes | None) -> object:
    """Call the library and turn its exceptions into ours, without the key's or passphrase's octets."""
    is_pem = data.lstrip().startswith(b"-----BEGIN ")
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    try:
        return load(data, passphrase)
    except TypeError:
        # The library's way to say "a passphrase is missing" and "a passphrase is not needed".
        if passphrase is not None:
            return _load_any(data, None)
        raise KeyUnavailableError(
            "the private key is encrypted and no passphrase was given", hint="give the passphrase"
        ) from None
    except UnsupportedAlgorithm:
        raise KeyUnavailableError("the private key's algorithm is not supported", hint=_SUPPORTED) from None
    except ValueError:
        pass
    if passphrase is not None:
        raise KeyUnavailableError(
            "the passphrase is wrong, or the private key is damaged", hint="check the passphrase and its file"
        )
    raise KeyUnavailableError(
        "this is not a private key", hint="name the file of the key: PKCS #8 or openssl's own form, PEM or DER"
    )


def key_type_of(public_key: object) -> KeyType:
    """Name the type of a public key.

    Raises:
        PolicyError: an algorithm, curve or modulus size that is not in ``KeyType``.

    """
    found = None
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        found = _CURVE_TYPES.get(public_key.curve.name)
    elif isinstance(public_key, rsa.RSAPublicKey):
        found = _MODULUS_TYPES.get(public_key.key_size)
    elif isinstance(public_key, ed25519.Ed25519PublicKey):
        found = KeyType.ED25519
    if found is None:
        raise PolicyError(f"{_described(public_key)} is not supported", hint=_SUPPORTED)
    return found


def _described(public_key: object) -> str:
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return f"a key on the curve {public_key.curve.name!r}"
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"an RSA key of {public_key.key_size} bits"
    return f"a key of the type {type(public_key).__name__.removesuffix('PublicKey')!r}"


def public_key_matches(cert_der: bytes, key: PrivateKey) -> bool:
    """Say whether the certificate certifies this key.

    Raises:
        PolicyError: ``cert_der`` is not a certificate.

    """
    try:
        public_key = x509.load_der_x509_certificate(cert_der).public_key()
    except UNREADABLE as error:
        raise PolicyError("this is not a certificate that can be read") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        return False
    return spki_der(public_key) == spki_der(key.public_key())
