"""Certificate profiles as settings give them: ten keys, templates with three kinds of fields, and no code.

A profile is checked when it is read: unknown keys, forms that are none, contradictions and what is insecure are refused
there, and issuing only fills in the values of a device (``profile_values.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from iotonboard.errors import PolicyError, quoted
from iotonboard.model import KeyType
from iotonboard.pki.extra_extension import ExtraExtension, parse_extension
from iotonboard.pki.name_values import NAME_FORMS, OID, OID_NAMES, SUBJECT_ATTRIBUTES, alt_name, form_of, subject_value
from iotonboard.pki.profile_template import fields_of, read_template, sample_of

NEVER: Final = "never"  # RFC 5280 4.1.2.5: 99991231235959Z, which IEEE 802.1AR asks for
PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
KEYS: Final = (
    "subject", "san", "key_usage", "eku", "validity_days", "not_after", "key_types", "device_id", "extensions", "ca",
)  # fmt: skip
# keyUsage -> its bit (RFC 5280 4.2.1.3). keyCertSign and cRLSign are a CA's.
USAGES: Final = {
    "digitalSignature": 0, "nonRepudiation": 1, "keyEncipherment": 2, "dataEncipherment": 3, "keyAgreement": 4,
}  # fmt: skip
_CA_USAGES: Final = {"keyCertSign": 5, "cRLSign": 6}
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
# Purposes by which OpenSSL knows a server: "Server Gated Cryptography" of Microsoft and Netscape is one too.
SERVER_PURPOSES: Final = frozenset({SERVER_AUTH, "1.3.6.1.4.1.311.10.3.3", "2.16.840.1.113730.4.1"})
_ANY_PURPOSE: Final = "2.5.29.37.0"
_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
# extKeyUsage (RFC 5280 4.2.1.12) by the names that people know.
PURPOSES: Final = {
    "clientAuth": CLIENT_AUTH, "serverAuth": SERVER_AUTH, "emailProtection": "1.3.6.1.5.5.7.3.4",
    "codeSigning": "1.3.6.1.5.5.7.3.3", "timeStamping": "1.3.6.1.5.5.7.3.8", "ipsecIKE": "1.3.6.1.5.5.7.3.17",
}  # fmt: skip
_MOST: Final = 16
_CRITICAL: Final = "critical"


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """What a certificate of this profile has. Values are templates; OBJECT IDENTIFIERs are dotted.

    ``subject`` and ``san`` hold pairs of attribute (dotted) or form, and template. ``validity_days`` ``None``: as
    configured, or without an end with ``ends_never``. ``key_types`` and ``device_id`` (a regular expression) empty:
    any. ``ca`` empty: the CA of the brokers.
    """

    name: str
    subject: tuple[tuple[str, str], ...]
    san: tuple[tuple[str, str], ...] = ()
    key_usage: tuple[str, ...] = ("digitalSignature",)
    eku: tuple[str, ...] = ()
    eku_is_critical: bool = False
    validity_days: int | None = None
    ends_never: bool = False
    key_types: tuple[KeyType, ...] = ()
    device_id: str = ""
    extensions: tuple[ExtraExtension, ...] = ()
    ca: str = ""

    @property
    def may_be_a_server(self) -> bool:
        """Say whether TLS clients take it for a server's."""
        return not SERVER_PURPOSES.isdisjoint(self.eku)

    @property
    def may_be_a_client(self) -> bool:
        """Say whether TLS servers take it for a client's: they also do so without any extKeyUsage."""
        return not self.eku or CLIENT_AUTH in self.eku


def parse_profile(name: str, table: object) -> CertificateProfile:
    """Read a profile from its table in the settings.

    Raises:
        PolicyError: a key or value is not allowed; the message names profile and key.
    """
    if not PROFILE_NAME.fullmatch(name):
        raise PolicyError(f"{quoted(name)} is not a profile's name", hint="use small letters, digits and dashes")
    if not isinstance(table, Mapping):
        raise PolicyError(f"profile {name!r} is not a table", hint=f"begin it with [profiles.{name}]")
    for key in table:
        if key not in KEYS:
            raise PolicyError(f"profile {name!r} has no key {quoted(str(key))}", hint=f"it can have: {', '.join(KEYS)}")
    try:
        profile = _profile(name, table)
        _refuse_contradictions(profile)
    except ValueError as error:
        raise PolicyError(f"profile {name!r}: {error}", hint="see: iotonboard help profiles") from None
    return profile


def _profile(name: str, table: Mapping[str, Any]) -> CertificateProfile:
    usages, _ = _words("key_usage", table.get("key_usage", ["critical", "digitalSignature"]))
    purposes, eku_is_critical = _words("eku", table.get("eku", []))
    san, san_is_critical = _words("san", table.get("san", []))
    subject, _ = _words("subject", table.get("subject", ["common_name={device_id}"]))
    if subject and san_is_critical:
        raise ValueError("san is critical exactly when the subject is empty (RFC 5280 4.2.1.6): leave critical out")
    return CertificateProfile(
        name=name,
        subject=tuple(map(_subject_part, subject)),
        san=tuple(map(_alt_name, san)),
        key_usage=tuple(map(_usage, usages)),
        eku=tuple(map(_purpose, purposes)),
        eku_is_critical=eku_is_critical,
        validity_days=_days(table.get("validity_days")),
        ends_never=_ends_never(table.get("not_after", "")),
        key_types=tuple(map(_key_type, _words("key_types", table.get("key_types", []))[0])),
        device_id=_pattern(table.get("device_id", "")),
        extensions=tuple(map(parse_extension, _list("extensions", table.get("extensions", [])))),
        ca=_ca_name(table.get("ca", "")),
    )


def _list(key: str, value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > _MOST:
        raise ValueError(f"{key} must be a list of at most {_MOST} entries")
    return value


def _words(key: str, value: object) -> tuple[list[str], bool]:
    """A list of texts, and whether it begins with ``critical``."""
    words = list(_list(key, value))
    if not all(isinstance(word, str) and word and word.isprintable() for word in words):
        raise ValueError(f"{key} must be a list of texts")
    is_critical = words[:1] == [_CRITICAL]
    if is_critical and key not in ("key_usage", "eku", "san"):
        raise ValueError(f"{key} is no extension, and cannot be critical")
    words = words[is_critical:]
    if is_critical and not words:
        raise ValueError(f"{key} is critical, and has nothing else")
    if len(set(words)) != len(words):
        raise ValueError(f"{key} names something twice")
    return words, is_critical


def _subject_part(word: str) -> tuple[str, str]:
    name, equals, template = word.partition("=")
    oid = SUBJECT_ATTRIBUTES[name][0] if name in SUBJECT_ATTRIBUTES else name
    if not equals or not OID.fullmatch(oid):
        known = ", ".join(SUBJECT_ATTRIBUTES)
        raise ValueError(f"subject has {quoted(word)}; write attribute=value, an OID or one of {known}")
    read_template("subject", template)
    if (sample := sample_of(template, "0")) is not None:
        _check_literal("subject", subject_value, oid, sample)
    return oid, template


def _alt_name(word: str) -> tuple[str, str]:
    form, colon, template = word.partition(":")
    if not colon or form not in NAME_FORMS:
        raise ValueError(f"san has {quoted(word)}; write form:value, a form of {', '.join(NAME_FORMS)}")
    if not fields_of(template.partition(",")[0]) and form in OID_NAMES and not OID_NAMES[form].fullmatch(template):
        raise ValueError(f"san has {quoted(word)}; rid is an OBJECT IDENTIFIER, and hardware one, a comma and a number")
    read_template("san", template)
    if (sample := sample_of(template, "1" if form in {"ip", "rid"} else "a1")) is not None:
        _check_literal("san", alt_name, form_of(form, sample), sample)
    return form, template


def _check_literal(key: str, check: Callable[[str, str], str], kind: str, sample: str) -> None:
    """Refuse what can never be, whatever a device has."""
    try:
        check(kind, sample)
    except PolicyError as error:
        raise ValueError(f"{key}: {error.message}; {error.hint}") from None


def _usage(word: str) -> str:
    if word in _CA_USAGES:
        raise ValueError(f"key_usage {word} is a CA's")
    if word not in USAGES:
        raise ValueError(f"key_usage has {quoted(word)}; there are {', '.join(USAGES)}")
    return word


def _purpose(word: str) -> str:
    oid = PURPOSES.get(word, word)
    if oid == _ANY_PURPOSE or word == "anyExtendedKeyUsage":
        raise ValueError("eku anyExtendedKeyUsage lets a device be anything, a broker too: name what it is for")
    if oid == _OCSP_SIGNING or word == "OCSPSigning":
        raise ValueError("eku OCSPSigning lets a device speak for the CA")
    if not OID.fullmatch(oid):
        raise ValueError(f"eku has {quoted(word)}; there are {', '.join(PURPOSES)}, or an OBJECT IDENTIFIER")
    return oid


def _days(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 36500:
        raise ValueError("validity_days must be between 1 and 36500")
    return value


def _ends_never(value: object) -> bool:
    if value not in ("", NEVER):
        raise ValueError(f'not_after can only be "{NEVER}" (IEEE 802.1AR); else use validity_days')
    return value == NEVER


def _key_type(word: str) -> KeyType:
    try:
        return KeyType(word)
    except ValueError:
        raise ValueError(f"key_types has {quoted(word)}; there are {', '.join(KeyType)}") from None


def _pattern(value: object) -> str:
    """A regular expression for whole ids, of those that cannot take long: no group that is repeated."""
    if not isinstance(value, str) or len(value) > 256 or re.search(r"\)[*+{]|\\[1-9]|\(\?", value):
        raise ValueError("device_id must be a regular expression without repeated groups")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"device_id is no regular expression: {error}") from None
    return value


def _ca_name(value: object) -> str:
    if not isinstance(value, str) or (value and not PROFILE_NAME.fullmatch(value)):
        raise ValueError("ca is the name of a CA of this state, such as servers")
    return value


def _refuse_contradictions(profile: CertificateProfile) -> None:
    attributes = [oid for oid, _ in profile.subject]
    common_name = dict(profile.subject).get(SUBJECT_ATTRIBUTES["common_name"][0])
    rsa_alone = bool(profile.key_types) and all(each.startswith("rsa") for each in profile.key_types)
    ec_alone = bool(profile.key_types) and all(each.startswith("ec") for each in profile.key_types)
    oids = [extension.oid for extension in profile.extensions]
    problems = {
        "a subject names each attribute once": len(set(attributes)) != len(attributes),
        "extensions name an OBJECT IDENTIFIER twice": len(set(oids)) != len(oids),
        "without subject and san nobody is named": not attributes and not profile.san,
        "not_after and validity_days exclude each other": profile.ends_never and profile.validity_days is not None,
        "key_usage is empty": not profile.key_usage,
        'keyEncipherment and dataEncipherment are for RSA (RFC 5480 section 3): add key_types = ["rsa-2048"]': (
            not rsa_alone and not {"keyEncipherment", "dataEncipherment"}.isdisjoint(profile.key_usage)
        ),
        'keyAgreement is for EC (RFC 5480 section 3): add key_types = ["ec-p256"]': (
            not ec_alone and "keyAgreement" in profile.key_usage
        ),
        "a server is known by its san (RFC 9525 section 6): add one": profile.may_be_a_server and not profile.san,
        'serverAuth lets a device pose as the broker: add ca = "servers", a CA that no broker trusts': (
            profile.may_be_a_server and not profile.ca
        ),
        "a broker knows a client by its commonName: it must be {device_id}, or none": (
            profile.may_be_a_client and not profile.ca and common_name not in (None, "{device_id}")
        ),
    }
    problems[
        "nobody finds the device: {device_id} must be all of common_name, serial_number or a hardware number"
    ] = not _names_device(profile)
    for problem, is_there in problems.items():
        if is_there:
            raise ValueError(problem)


def _names_device(profile: CertificateProfile) -> bool:
    subject = dict(profile.subject)
    is_named = any(
        subject.get(SUBJECT_ATTRIBUTES[name][0]) == "{device_id}" for name in ("common_name", "serial_number")
    )
    return is_named or any(form == "hardware" and text.endswith(",{device_id}") for form, text in profile.san)
