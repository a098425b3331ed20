"""A CA that another program made: what of it will not work here or with a broker, and what that means.

A hard finding is a CA that no broker would follow, or that this program cannot sign with; the others are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotonboard.errors import PolicyError
from iotonboard.model import rfc3339
from iotonboard.pki.facts import is_signed_by
from iotonboard.pki.lint.weak_keys import check_public_key
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from iotonboard.pki.keys import PublicKey

_CLIENTS: Final = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_OLD_DIGESTS: Final = frozenset({"md5", "sha1"})
# What OpenSSL's path validation knows; any other critical extension makes it refuse (RFC 5280 4.2).
_KNOWN: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.NameConstraints.oid,
        x509.SubjectAlternativeName.oid,
        x509.CertificatePolicies.oid,
        x509.PolicyConstraints.oid,
        x509.InhibitAnyPolicy.oid,
        x509.CRLDistributionPoints.oid,
    }
)
_LAST_OF_32_BITS: Final = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)  # 2^31 - 1 seconds since 1970
# commonNames that tools propose: whoever took the proposal has the same.
_PROPOSED: Final = frozenset(
    {"easy-rsa ca", "changeme", "example.com", "my own ca", "my ca", "ca", "root ca", "test ca", "server", "localhost"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a CA that was taken over; ``is_hard``: with it the CA is of no use."""

    rule: str
    what: str
    meaning: str
    is_hard: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.meaning}"


def judge_ca(certificate_der: bytes, chain: Sequence[bytes], now: datetime, device_days: int) -> list[Finding]:
    """Say what speaks against a CA, the hard things first; ``chain`` is what stands above it, nearest first.

    ``device_days``: how long certificates of devices are meant to live.

    Raises:
        PolicyError: it, or one of its chain, is not a certificate that can be read.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        above = [x509.load_der_x509_certificate(der) for der in chain]
        found = [finding for rule in _RULES for finding in rule(certificate)]
        found += [*_life(certificate, now, device_days), *_above(certificate, above, now)]
    except UNREADABLE as error:
        raise PolicyError(
            "this is not a CA certificate that can be read", hint="openssl x509 -text says more"
        ) from error
    return sorted(found, key=lambda finding: not finding.is_hard)


def refuse_unusable(found: Sequence[Finding], path: str) -> None:
    """Refuse a CA with hard findings, all of which are named.

    Raises:
        PolicyError: there are such.
    """
    if hard := [str(finding) for finding in found if finding.is_hard]:
        raise PolicyError(
            f"the CA in {path!r} cannot be taken over: {'; '.join(hard)}",
            hint="make a new CA with 'iotonboard init-ca', and let brokers trust the old one beside it for as long as"
            " it has devices: 'iotonboard ca trust add'",
        )


# -- what the certificate says of itself ------------------------------------------------------------------------------


def _constraints(certificate: x509.Certificate) -> Iterator[Finding]:
    """RFC 5280 4.2.1.9."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        version = "a certificate of version 1" if certificate.version is x509.Version.v1 else "without basicConstraints"
        yield Finding("basic-constraints", f"it is {version}", "nothing says that it is a CA", is_hard=True)
        return
    if not constraints.ca:
        yield Finding(
            "basic-constraints", "basicConstraints say that it is no CA", "brokers refuse what it signed", is_hard=True
        )
    elif constraints.path_length is None or constraints.path_length > 0:
        length = "no path length" if constraints.path_length is None else f"path length {constraints.path_length}"
        meaning = "whoever has its key can make further CAs, whose devices brokers let in and no list of yours revokes"
        yield Finding("path-length", f"it has {length}", meaning)


def _usage(certificate: x509.Certificate) -> Iterator[Finding]:
    """RFC 5280 4.2.1.3."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        meaning = "brokers with OpenSSL take it; RFC 5280 asks for it, and stricter programs refuse such a CA"
        yield Finding("key-usage", "it has no key usage", meaning)
        return
    if not usage.key_cert_sign:
        meaning = "brokers refuse every certificate that it signed"
        yield Finding("key-cert-sign", "its key usage lacks keyCertSign", meaning, is_hard=True)
    if not usage.crl_sign:
        meaning = "no broker believes a CRL of it, and without one all of its devices are refused"
        yield Finding("crl-sign", "its key usage lacks cRLSign", meaning, is_hard=True)


def _purposes(certificate: x509.Certificate) -> Iterator[Finding]:
    """RFC 5280 4.2.1.12; of a CA's certificate brokers read it as a limit for what is below."""
    try:
        purposes = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    if not _CLIENTS & purposes:
        meaning = "brokers refuse its devices as clients"
        yield Finding("extended-key-usage", "its extended key usage lacks clientAuth", meaning, is_hard=True)
    elif not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & purposes:
        meaning = "devices refuse a broker's certificate of it: let the broker keep the one that it has"
        yield Finding("extended-key-usage", "its extended key usage lacks serverAuth", meaning)


def _extensions(certificate: x509.Certificate) -> Iterator[Finding]:
    found = {extension.oid: extension for extension in certificate.extensions}
    if x509.SubjectKeyIdentifier.oid not in found:
        meaning = "certificates and lists name their CA's key by it, and this program makes none without"
        yield Finding("subject-key-id", "it has no subjectKeyIdentifier", meaning, is_hard=True)
    if x509.NameConstraints.oid in found:
        meaning = "brokers refuse a device whose name it excludes: try one with 'iotonboard verify'"
        yield Finding("name-constraints", "it has name constraints", meaning)
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            what = f"its critical extension {extension.oid.dotted_string} is not known to OpenSSL"
            yield Finding("critical-extension", what, "brokers refuse every certificate that it signed", is_hard=True)


def _key(certificate: x509.Certificate) -> Iterator[Finding]:
    public_key = certificate.public_key()
    try:
        check_public_key(cast("PublicKey", public_key))
    except PolicyError as error:
        yield Finding("key", error.message, "nothing is signed with such a key", is_hard=True)
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        meaning = "devices with mbedTLS cannot verify a broker's certificate of it, nor can browsers"
        yield Finding("ed25519", "its key is Ed25519", meaning)


def _signature(certificate: x509.Certificate) -> Iterator[Finding]:
    digest = certificate.signature_hash_algorithm
    if digest is None or digest.name not in _OLD_DIGESTS:
        return
    is_root = certificate.issuer == certificate.subject
    meaning = (
        "of a root nobody verifies that; what it issued likewise, OpenSSL 3 refuses: renew such devices"
        if is_root
        else "brokers with OpenSSL 3 refuse every device of it"
    )
    yield Finding("old-digest", f"it is signed with {digest.name.upper()}", meaning, is_hard=not is_root)


def _name(certificate: x509.Certificate) -> Iterator[Finding]:
    """RFC 5280 4.1.2.6: a CA's subject is not empty."""
    if not list(certificate.subject):
        yield Finding("name", "its name is empty", "no list can be told from another's", is_hard=True)
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names and names[0].casefold() in _PROPOSED:
        meaning = "other plants may have a CA of this name, and programs with mbedTLS cannot tell two such apart"
        yield Finding("name", f"its name {names[0]!r} is one that tools propose", meaning)


_RULES: Final[tuple[Callable[[x509.Certificate], Iterator[Finding]], ...]] = (
    _constraints,
    _usage,
    _purposes,
    _extensions,
    _key,
    _signature,
    _name,
)


# -- its life, and what stands above it -------------------------------------------------------------------------------


def _life(certificate: x509.Certificate, now: datetime, device_days: int) -> Iterator[Finding]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        yield Finding("validity", f"it expired at {rfc3339(end)}", "brokers refuse all of its devices", is_hard=True)
    elif begin > now:
        meaning = "brokers refuse all of its devices until then, or this clock is wrong"
        yield Finding("validity", f"it begins at {rfc3339(begin)}", meaning, is_hard=True)
    elif (left := (end - now).days) < device_days:
        meaning = f"a device's certificate of {device_days} days would outlive it; plan 'iotonboard ca rollover begin'"
        yield Finding("validity", f"it ends in {left} days", meaning)
    if end > _LAST_OF_32_BITS:
        what = f"it ends after {rfc3339(_LAST_OF_32_BITS)}"
        yield Finding("32-bits", what, "devices whose time has 32 bits take it for expired")


def _above(certificate: x509.Certificate, above: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    """RFC 5280 6.1: each is signed by the next one, and the last one by itself."""
    for lower, upper in zip([certificate, *above], [*above, None], strict=True):
        if upper is None:
            yield from _top(lower, is_own=lower is certificate)
            continue
        if not (lower.issuer == upper.subject and is_signed_by(lower, upper)):
            what = f"{_shown(lower)} was not signed by {_shown(upper)}, which the chain has above it"
            yield Finding("chain", what, "brokers refuse all of its devices", is_hard=True)
        if upper.subject == certificate.subject:
            what = f"{_shown(upper)} above it has the same name"
            yield Finding("name", what, "programs with mbedTLS cannot tell the two apart", is_hard=True)
        if not upper.not_valid_before_utc <= now <= upper.not_valid_after_utc:
            what = f"{_shown(upper)} above it is not valid now"
            yield Finding("chain", what, "brokers refuse all of its devices", is_hard=True)
    for depth, upper in enumerate(above):
        if not _allows(upper, depth):
            what = f"{_shown(upper)} allows no CA so far below itself (path length)"
            yield Finding("path-length", what, "brokers refuse all of its devices", is_hard=True)


def _top(certificate: x509.Certificate, *, is_own: bool) -> Iterator[Finding]:
    if certificate.issuer == certificate.subject and is_signed_by(certificate, certificate):
        return
    what = f"{_shown(certificate)} did not sign itself, and the CA above it is not there"
    meaning = "a broker wants the whole chain up to the root: give the others with --chain"
    if certificate.issuer == certificate.subject and is_own:
        what, meaning = "its signature is wrong", "the file is damaged"
    yield Finding("chain", what, meaning, is_hard=True)


def _allows(upper: x509.Certificate, depth: int) -> bool:
    try:
        constraints = upper.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and (constraints.path_length is None or constraints.path_length > depth)


def _shown(certificate: x509.Certificate) -> str:
    return repr(", ".join(str(one.value) for one in certificate.subject) or "a CA without a name")
