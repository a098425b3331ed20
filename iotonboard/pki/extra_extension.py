"""Extensions that a profile gives by their OBJECT IDENTIFIER: what may be written, and the octets that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from iotonboard.errors import PolicyError, quoted
from iotonboard.pki import der
from iotonboard.pki.name_values import OID
from iotonboard.pki.profile_template import fields_of, read_template

# What the program sets itself, or a CA's: no profile names them.
_OWN: Final = {
    "2.5.29.14": "subjectKeyIdentifier", "2.5.29.35": "authorityKeyIdentifier", "2.5.29.19": "basicConstraints",
    "2.5.29.15": "keyUsage", "2.5.29.37": "extKeyUsage", "2.5.29.17": "subjectAltName", "2.5.29.30": "nameConstraints",
    "2.5.29.36": "policyConstraints", "2.5.29.54": "inhibitAnyPolicy", "2.5.29.31": "cRLDistributionPoints",
    "2.5.29.33": "policyMappings", "2.5.29.46": "freshestCRL",
}  # fmt: skip
# What verifiers know and may be told to insist on: certificatePolicies (RFC 5280 4.2.1.4).
_READ_EVERYWHERE: Final = frozenset({"2.5.29.32"})
_MAX_OCTETS: Final = 4096
# Where the standard's own extensions are, of which none has an empty value: RFC 5280 4.2.1 and 4.2.2.
_STANDARD: Final = ("2.5.29.", "1.3.6.1.5.5.7.1.")
_EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"  # RFC 2985 5.4.2
_ED25519: Final = "1.3.101.112"


@dataclass(frozen=True, slots=True)
class ExtraExtension:
    """An extension by its OBJECT IDENTIFIER. ``value`` is a template, of hexadecimal DER or of a text: its ``form``."""

    oid: str
    is_critical: bool
    form: str
    value: str


def parse_extension(table: object) -> ExtraExtension:
    """Read one of the extensions of a profile.

    Raises:
        ValueError: it is not allowed, or its value can never be one.
    """
    if not isinstance(table, Mapping) or not {"oid"} <= table.keys() <= {"oid", "critical", "hex", "utf8"}:
        raise ValueError("each of the extensions has oid, hex or utf8, and perhaps critical")
    oid, is_critical = table["oid"], table.get("critical", False)
    if not isinstance(oid, str) or not OID.fullmatch(oid):
        raise ValueError(f"extensions: {quoted(str(oid))} is no OBJECT IDENTIFIER")
    if oid in _OWN:
        raise ValueError(f"extensions: {oid} is {_OWN[oid]}, which no profile gives so")
    if is_critical not in (True, False):
        raise ValueError("extensions: critical is true or false")
    if is_critical and oid not in _READ_EVERYWHERE:
        raise ValueError(f"extensions: {oid} is critical, so that whoever does not know it refuses the certificate")
    if ("hex" in table) == ("utf8" in table):
        raise ValueError(f"extensions: {oid} has either hex or utf8")
    form = "hex" if "hex" in table else "utf8"
    value = table[form]
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_OCTETS:
        raise ValueError(f"extensions: {oid} has no value that can be taken")
    extra = ExtraExtension(oid, bool(is_critical), form, read_template("extensions", value))
    if form == "utf8" or not fields_of(value):
        try:
            extension_value(extra, value)
        except PolicyError as error:
            raise ValueError(f"extensions: {error.message}") from None
    return extra


def extension_value(extra: ExtraExtension, text: str) -> bytes:
    """The DER of an extension's value whose template was filled in.

    Raises:
        PolicyError: it is not printable, not one whole value, or none of the extension that this is.
    """
    if extra.form == "utf8":
        if not text.isprintable():
            raise PolicyError(f"the text of {extra.oid} holds a character that is not printable", hint="remove it")
        value = der.tlv(der.UTF8_STRING, text.encode("utf-8"))
    else:
        value = _whole_der(extra.oid, text)
    if not _can_be_read(extra.oid, value):
        raise PolicyError(
            f"the value of {extra.oid} is none of that extension, and nobody could read the certificate",
            hint=f"it was given as {quoted(text)}",
        )
    return value


def _whole_der(oid: str, text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
        der.whole(octets, octets[0] if octets else der.SEQUENCE)
    except (ValueError, PolicyError):
        raise PolicyError(
            f"the hex of {oid} is not one whole DER value", hint=f"it was filled in as {quoted(text)}"
        ) from None
    return octets


def _can_be_read(oid: str, value: bytes) -> bool:
    """Say whether an X.509 library reads the extension: of those that it knows, with their contents.

    It is asked with a request that nobody signed; the library looks at signatures when it is told to.
    """
    if oid.startswith(_STANDARD) and value == der.sequence():
        return False
    extension = der.sequence(der.oid(oid), der.octet_string(value))
    attribute = der.sequence(der.oid(_EXTENSION_REQUEST), der.tlv(der.SET, der.sequence(extension)))
    algorithm = der.sequence(der.oid(_ED25519))
    key = der.sequence(algorithm, der.bit_string(bytes(32)))
    request = der.sequence(der.integer(0), der.sequence(), key, der.explicit(0, attribute))
    try:
        found = x509.load_der_x509_csr(der.sequence(request, algorithm, der.bit_string(bytes(64)))).extensions
    except (ValueError, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
        return False
    return len(found) == 1
