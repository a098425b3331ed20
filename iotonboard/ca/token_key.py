"""A CA's key that never leaves a token (PKCS #11): it signs there, and a second key there opens the vault.

That second key is called as the first with ``-vault`` behind it, and may only derive (ECDH) or, where the token does
not know that, decrypt (RSA-OAEP). Its public half wraps a vault key without the private one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from iotonboard.ca import token_session
from iotonboard.errors import ConflictError, KeyUnavailableError, PolicyError, UsageError
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.keys import key_type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_session import TokenSession
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.pki.keys import PublicKey

if token_session.HAS_LIBRARY:
    import pkcs11
    from pkcs11 import Attribute, Mechanism, ObjectClass
    from pkcs11.exceptions import PKCS11Error

VAULT_SUFFIX: Final = "-vault"
_LABEL: Final = b"iotonboard vault wrapping key of a token v1"
_RSA_WRAP: Final = b"R"  # in front of what RSA-OAEP made; a point begins with 04
_CURVES: Final = {KeyType.EC_P256: ec.SECP256R1(), KeyType.EC_P384: ec.SECP384R1()}
_OIDS: Final = {KeyType.EC_P256: der.oid("1.2.840.10045.3.1.7"), KeyType.EC_P384: der.oid("1.3.132.0.34")}  # RFC 5480
_MODULUS_BITS: Final = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.RSA_4096: 4096}
# DigestInfo without the digest (RFC 8017 9.2, note 1): many tokens know no other way than to sign it as it is.
_DIGEST_INFO: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
}
_OAEP: Final = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # the only one that every token knows  # noqa: S303


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a token says of a CA's key. ``is_extractable``: it can be copied out; ``was_extractable``: or once could."""

    serial: str
    model: str
    is_extractable: bool
    was_extractable: bool


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Signs in the token. The object on the token is sought again by a process that did not open it."""

    session: TokenSession = field(repr=False)
    public: PublicKey
    _found: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self.public

    def sign(self, octets: bytes, digest: hashes.HashAlgorithm) -> bytes:
        """Sign as ``Signer.sign`` says: the digest is made here, the signature in the token.

        Raises:
            TokenLostError: the token went away.
        """
        hasher = hashes.Hash(digest)
        hasher.update(octets)
        value = hasher.finalize()
        with self.session.used() as session:
            key = self._key(session)
            if isinstance(self.public, rsa.RSAPublicKey):
                return bytes(key.sign(_DIGEST_INFO[digest.name] + value, mechanism=Mechanism.RSA_PKCS))
            raw = bytes(key.sign(value, mechanism=Mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def _key(self, session: Any) -> Any:
        if os.getpid() not in self._found:
            uri = self.session.uri
            self._found[os.getpid()] = _private(session, _named(uri), uri)
        return self._found[os.getpid()]

    def __reduce__(self) -> tuple[type[TokenSigner], tuple[TokenSession, PublicKey]]:
        return TokenSigner, (self.session, self.public)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A CA's key in a token, logged in to."""

    uri: TokenUri
    signer: TokenSigner
    facts: KeyFacts

    def wrap(self, vault_key: bytes) -> bytes:
        """Encrypt the vault key for the token's second key: ephemeral ECDH, HKDF and RFC 3394, or RSA-OAEP."""
        with self.signer.session.used() as session:
            public = _public_key(session, _vault_name(session, self.uri), self.uri)
        if isinstance(public, rsa.RSAPublicKey):
            return _RSA_WRAP + public.encrypt(vault_key, _OAEP)
        ephemeral = ec.generate_private_key(public.curve)
        point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return point + aes_key_wrap(_wrapping_key(ephemeral.exchange(ec.ECDH(), public), point), vault_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt what ``wrap`` made, in the token.

        Raises:
            KeyUnavailableError: another key wrapped it, or it was damaged.
            TokenLostError: the token went away.
        """
        with self.signer.session.used() as session:
            private = _private(session, _vault_name(session, self.uri), self.uri)
            try:
                return _decrypted(private, wrapped[1:]) if wrapped.startswith(_RSA_WRAP) else _agreed(private, wrapped)
            except (InvalidUnwrap, ValueError, PKCS11Error):
                raise KeyUnavailableError(
                    f"the token {self.uri.where!r} does not open this state's vault",
                    hint="plug in the token that belongs to this state, or look at 'iotonboard help tokens'",
                ) from None

    def dump(self, passphrase: Passphrase | None) -> bytes:  # noqa: ARG002 - the token has its PIN
        """Write the content of the key's file: where the key is."""
        return f"{self.uri}\n".encode("ascii")


def _decrypted(private: Any, octets: bytes) -> bytes:
    parameters = (Mechanism.SHA_1, pkcs11.MGF.SHA1, None)
    return bytes(private.decrypt(octets, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameters))


def _agreed(private: Any, wrapped: bytes) -> bytes:
    point, sealed = wrapped[:-40], wrapped[-40:]  # 32 octets wrapped are 40 (RFC 3394)
    octets = (len(point) - 1) // 2
    secret = private.derive_key(
        pkcs11.KeyType.GENERIC_SECRET,
        8 * octets,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(pkcs11.KDF.NULL, None, point),
        template={Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    return aes_key_unwrap(_wrapping_key(bytes(secret[Attribute.VALUE]), point), sealed)


def _wrapping_key(agreed: bytes, point: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL + point).derive(agreed)


# -- opening and making --------------------------------------------------------------------------------------------


def open_token_key(uri: TokenUri, pin: Passphrase | None, *, last_try: bool = False) -> TokenKey:
    """Log in, once, and find the key.

    Raises:
        KeyUnavailableError: no library, module, token or key, a wrong PIN, or a key that cannot be a CA's.
        TokenLostError: the token went away.
    """
    return _opened(token_session.TokenSession(uri, pin, last_try=last_try))


def _opened(logged_in: TokenSession) -> TokenKey:
    uri = logged_in.uri
    with logged_in.used() as session:
        private, public = _private(session, _named(uri), uri), _public_key(session, _named(uri), uri)
        token = session.token
        facts = KeyFacts(
            token_session.serial_of(token),
            token.model,
            _says(private, Attribute.EXTRACTABLE, default=True),
            not _says(private, Attribute.NEVER_EXTRACTABLE, default=False),
        )
        if _says(private, Attribute.ALWAYS_AUTHENTICATE, default=False):
            raise KeyUnavailableError(
                f"the token {uri.where!r} asks for the PIN with every signature of this key",
                hint="use a key of it that does not (CKA_ALWAYS_AUTHENTICATE)",
            )
    return TokenKey(uri, TokenSigner(logged_in, public, {os.getpid(): private}), facts)


def make_token_key(
    uri: TokenUri, pin: Passphrase | None, key_type: KeyType, note: Callable[[], object], *, may_exist: bool
) -> TokenKey:
    """Make both keys in the token, once ``note`` was called; ``may_exist``: what an interrupted call made is used.

    Raises:
        UsageError: the URI gives no name, or a token makes no key of that type.
        ConflictError: there is a key of that name.
        KeyUnavailableError: as ``open_token_key``, or the token refuses to make one.
    """
    if uri.object is None:
        raise UsageError("a new key needs a name", hint="add object=... to the URI")
    if key_type is KeyType.ED25519:
        raise UsageError("a key of the type 'ed25519' is not made in a token", hint="choose ec-p256 or another type")
    logged_in = token_session.TokenSession(uri, pin, writes=True)
    name, vault = {Attribute.LABEL: uri.object}, {Attribute.LABEL: uri.object + VAULT_SUFFIX}
    with logged_in.used() as session:
        there = [bool(_objects(session, ObjectClass.PRIVATE_KEY, each)) for each in (name, vault)]
        if any(there) and not may_exist:
            raise ConflictError(
                f"there is a key {uri.object!r} in the token {uri.where!r} already",
                hint="leave --generate out to use it, or choose another object=",
            )
        note()
        try:
            if not there[0]:
                _make(session, uri.object, key_type, Attribute.SIGN, Attribute.VERIFY, uri.identifier)
            if not there[1]:
                _make_vault_key(session, uri.object + VAULT_SUFFIX)
        except PKCS11Error as error:
            raise KeyUnavailableError(
                f"the token {uri.where!r} refuses to make the keys ({type(error).__name__})",
                hint="make them with its own tool, and leave --generate out: 'iotonboard help tokens'",
            ) from None
    return _opened(logged_in)


def _make_vault_key(session: Any, label: str) -> None:
    known = session.token.slot.get_mechanisms()
    if {Mechanism.ECDH1_DERIVE, Mechanism.EC_KEY_PAIR_GEN} <= known:
        _make(session, label, KeyType.EC_P256, Attribute.DERIVE, Attribute.DERIVE, None)
    else:
        _make(session, label, KeyType.RSA_2048, Attribute.DECRYPT, Attribute.ENCRYPT, None)


def _make(
    session: Any, label: str, key_type: KeyType, use: Attribute, public_use: Attribute, identifier: bytes | None
) -> None:
    """Make a key pair for one use, whose private half never leaves the token."""
    uses = (Attribute.SIGN, Attribute.DERIVE, Attribute.DECRYPT, Attribute.UNWRAP)
    private = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, **{each: each == use for each in uses}}
    kept: dict[str, Any] = {
        "store": True,
        "label": label,
        "id": identifier or os.urandom(8),
        "capabilities": 0,
        "private_template": private,
        "public_template": {public_use: True},
    }
    if key_type in _OIDS:
        domain = {Attribute.EC_PARAMS: _OIDS[key_type]}
        session.create_domain_parameters(pkcs11.KeyType.EC, domain, local=True).generate_keypair(**kept)
    else:
        session.generate_keypair(pkcs11.KeyType.RSA, _MODULUS_BITS[key_type], **kept)


# -- finding -------------------------------------------------------------------------------------------------------


def _named(uri: TokenUri) -> dict[Any, object]:
    """What a search for the CA's key asks for."""
    given = {Attribute.LABEL: uri.object, Attribute.ID: uri.identifier}
    return {name: value for name, value in given.items() if value is not None}


def _vault_name(session: Any, uri: TokenUri) -> dict[Any, object]:
    """What a search for the vault's key asks for: it is called after the CA's."""
    label = uri.object or _says(_private(session, _named(uri), uri), Attribute.LABEL, default="")
    return {Attribute.LABEL: f"{label}{VAULT_SUFFIX}"}


def _objects(session: Any, kind: ObjectClass, named: Mapping[Any, object]) -> list[Any]:
    return list(session.get_objects({Attribute.CLASS: kind, **named}))


def _private(session: Any, named: Mapping[Any, object], uri: TokenUri) -> Any:
    return _only(_objects(session, ObjectClass.PRIVATE_KEY, named), named, uri, "private")


def _only(found: list[Any], named: Mapping[Any, object], uri: TokenUri, half: str) -> Any:
    label = named.get(Attribute.LABEL, named.get(Attribute.ID))
    if not found:
        raise KeyUnavailableError(
            f"the token {uri.where!r} has no {half} key {label!r}",
            hint="compare 'pkcs11-tool --login --list-objects'; --generate makes the keys of a new CA",
        )
    if len(found) > 1:
        raise KeyUnavailableError(
            f"the token {uri.where!r} has more than one {half} key {label!r}", hint="add id=... to the URI"
        )
    return found[0]


def _public_key(session: Any, named: Mapping[Any, object], uri: TokenUri) -> Any:
    found = _only(_objects(session, ObjectClass.PUBLIC_KEY, named), named, uri, "public")
    try:
        public = _read_public(found)
        key_type_of(public)
    except (ValueError, PolicyError) as error:
        raise KeyUnavailableError(
            f"the key in the token {uri.where!r} is of no type that a CA can have: {error}",
            hint="use ec-p256, ec-p384, rsa-2048, rsa-3072 or rsa-4096",
        ) from None
    return public


def _read_public(found: Any) -> Any:
    if found.key_type == pkcs11.KeyType.RSA:
        exponent, modulus = found[Attribute.PUBLIC_EXPONENT], found[Attribute.MODULUS]
        return rsa.RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus)).public_key()
    curve = next((key_type for key_type, oid in _OIDS.items() if oid == found[Attribute.EC_PARAMS]), None)
    if curve is None:
        raise PolicyError("its curve is another one")
    point = bytes(found[Attribute.EC_POINT])
    if len(point) != 1 + 2 * ((_CURVES[curve].key_size + 7) // 8):  # in an OCTET STRING, as PKCS #11 has it
        element = der.whole(point, der.OCTET_STRING)
        point = point[element.begin : element.end]
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)


def _says(key: Any, attribute: Attribute, *, default: Any) -> Any:
    """An attribute; ``default`` where the token does not know it."""
    try:
        return key[attribute]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive, pkcs11.FunctionFailed):
        return default
