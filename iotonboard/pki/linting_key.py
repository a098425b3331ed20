"""The CA's key as a certificate's encoder sees it: it lints what it is asked to sign.

``x509.CertificateBuilder`` encodes a TBSCertificate and passes it to ``key.sign``. Here that judges the octets as what
they are meant to be, and only then asks the signer: what is signed as a device's certificate is judged as one, also
when it says CA:TRUE. So nothing can be signed that was not linted, and the lint knows nothing of what encodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from iotonboard.pki.lint.lint import lint_certificate, lint_crl
from iotonboard.pki.signatures import tbs_digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.utils import Buffer

    from iotonboard.pki.lint.candidate import CrlCandidate, IssuerFacts, Kind
    from iotonboard.pki.profile_values import FilledProfile
    from iotonboard.pki.signatures import Signer


def sign_crl_tbs(signer: Signer, tbs: bytes, issuer: IssuerFacts, crl_url: str = "") -> tuple[bytes, CrlCandidate]:
    """Lint a TBSCertList, with the URL of the distribution point that it shall have, if any, and sign it.

    Returns the signature and what the lint read.

    Raises:
        LintError: a rule was broken; nothing was signed.

    """
    candidate = lint_crl(tbs, issuer, crl_url)
    return signer.sign(tbs, tbs_digest(signer.public_key())), candidate


class _Linting:
    """What the library asks of a private key of any type; the private half stays out of its reach."""

    def __init__(self, signer: Signer, kind: Kind, issuer: IssuerFacts, profile: FilledProfile | None) -> None:
        self._signer, self._kind, self._issuer, self._profile = signer, kind, issuer, profile
        self._public_key = signer.public_key()
        self._digest = tbs_digest(self._public_key)

    @property
    def builder_digest(self) -> hashes.SHA256 | hashes.SHA384 | None:
        """What ``CertificateBuilder.sign`` takes beside the key: None for Ed25519, which brings its own."""
        return None if isinstance(self, _Ed25519Key) else self._digest

    def _lint_and_sign(self, tbs: bytes) -> bytes:
        """Sign by the algorithm that goes with the key: no other passes the lint."""
        lint_certificate(tbs, self._kind, self._issuer, self._profile)
        return self._signer.sign(tbs, self._digest)

    def public_key(self) -> Any:
        """Return the public half."""
        return self._public_key

    @property
    def curve(self) -> Any:
        """The curve of an EC key."""
        return self.public_key().curve

    @property
    def key_size(self) -> Any:
        """The size of an EC or RSA key, in bits."""
        return self.public_key().key_size

    def _refuse(self, *_args: object) -> NoReturn:
        raise TypeError("this key signs certificates and does nothing else")

    exchange: Any = _refuse
    decrypt: Any = _refuse
    private_numbers: Any = _refuse
    private_bytes: Any = _refuse
    private_bytes_raw: Any = _refuse
    __copy__: Any = _refuse
    __deepcopy__: Any = _refuse


class _EllipticCurveKey(_Linting, ec.EllipticCurvePrivateKey):
    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ARG002
        return self._lint_and_sign(bytes(data))


class _RsaKey(_Linting, rsa.RSAPrivateKey):
    def sign(self, data: bytes, padding: AsymmetricPadding, algorithm: object) -> bytes:  # noqa: ARG002
        return self._lint_and_sign(data)


class _Ed25519Key(_Linting, ed25519.Ed25519PrivateKey):
    def sign(self, data: Buffer) -> bytes:
        return self._lint_and_sign(bytes(data))


LintingKey: TypeAlias = _EllipticCurveKey | _RsaKey | _Ed25519Key


def linting_key(signer: Signer, kind: Kind, issuer: IssuerFacts, profile: FilledProfile | None = None) -> LintingKey:
    """Return a key that signs TBSCertificates of one kind and nothing else, or of one filled-in ``profile``.

    Its ``sign`` raises LintError, and asks the signer for nothing, when a rule is broken.
    """
    public_key = signer.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return _EllipticCurveKey(signer, kind, issuer, profile)
    if isinstance(public_key, rsa.RSAPublicKey):
        return _RsaKey(signer, kind, issuer, profile)
    return _Ed25519Key(signer, kind, issuer, profile)
