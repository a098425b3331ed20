"""Certificate profiles as settings give them: ten keys, templates with three kinds of fields, and no code.

A profile is checked when it is read: unknown keys, forms that are none, contradictions and what is insecure are refused
there, and issuing only fills in the values of a device (``profile_values.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from iotonboard.errors import PolicyError, quoted
from iotonboard.model import KeyType
from iotonboard.pki import der
from iotonboard.pki.profiles import ATTRIBUTES

NEVER: Final = "never"  # RFC 5280 4.1.2.5: 99991231235959Z, which IEEE 802.1AR asks for
PROFILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
KEYS: Final = (
    "subject", "san", "key_usage", "eku", "validity_days", "not_after", "key_types", "device_id", "extensions", "ca",
)  # fmt: skip
# Attribute of a subject -> its OBJECT IDENTIFIER and upper bound in characters (RFC 5280 appendix A.1).
SUBJECT_ATTRIBUTES: Final = {
    **{name: (oid.dotted_string, bound) for name, (oid, bound) in ATTRIBUTES.items()},
    "serial_number": ("2.5.4.5", 64),
}
# keyUsage -> its bit (RFC 5280 4.2.1.3). keyCertSign and cRLSign are a CA's.
USAGES: Final = {
    "digitalSignature": 0, "nonRepudiation": 1, "keyEncipherment": 2, "dataEncipherment": 3, "keyAgreement": 4,
}  # fmt: skip
_CA_USAGES: Final = {"keyCertSign": 5, "cRLSign": 6}
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_ANY_PURPOSE: Final = "2.5.29.37.0"
_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
# extKeyUsage (RFC 5280 4.2.1.12) by the names that people know.
PURPOSES: Final = {
    "clientAuth": CLIENT_AUTH, "serverAuth": SERVER_AUTH, "emailProtection": "1.3.6.1.5.5.7.3.4",
    "codeSigning": "1.3.6.1.5.5.7.3.3", "timeStamping": "1.3.6.1.5.5.7.3.8", "ipsecIKE": "1.3.6.1.5.5.7.3.17",
}  # fmt: skip
NAME_FORMS: Final = ("dns", "ip", "uri", "email", "upn", "rid", "hardware")
# What the program sets itself, or a CA's: no profile names them.
_OWN_EXTENSIONS: Final = {
    "2.5.29.14": "subjectKeyIdentifier", "2.5.29.35": "authorityKeyIdentifier", "2.5.29.19": "basicConstraints",
    "2.5.29.15": "keyUsage", "2.5.29.37": "extKeyUsage", "2.5.29.17": "subjectAltName", "2.5.29.30": "nameConstraints",
    "2.5.29.36": "policyConstraints", "2.5.29.54": "inhibitAnyPolicy", "2.5.29.31": "cRLDistributionPoints",
}  # fmt: skip
_OID: Final = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]{0,8}))(?:\.(?:0|[1-9][0-9]{0,38}))+")
# Names that hold an OBJECT IDENTIFIER: registeredID, and hardwareModuleName with a number (RFC 4108 section 5).
OID_NAMES: Final = {"rid": _OID, "hardware": re.compile(rf"{_OID.pattern},.+")}
FIELD: Final = re.compile(r"\{([^{}]*)\}")
_KNOWN_FIELD: Final = re.compile(r"device_id|uuid|attr\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_MOST: Final = 16
_MAX_EXTENSION: Final = 4096
_CRITICAL: Final = "critical"


@dataclass(frozen=True, slots=True)
class ExtraExtension:
    """An extension by its OBJECT IDENTIFIER. ``value`` is a template, of hexadecimal DER or of a text: its ``form``."""

    oid: str
    is_critical: bool
    form: str
    value: str


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
        return SERVER_AUTH in self.eku

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
    san, _ = _words("san", table.get("san", []))
    return CertificateProfile(
        name=name,
        subject=tuple(map(_subject_part, _words("subject", table.get("subject", ["common_name={device_id}"]))[0])),
        san=tuple(map(_alt_name, san)),
        key_usage=tuple(map(_usage, usages)),
        eku=tuple(map(_purpose, purposes)),
        eku_is_critical=eku_is_critical,
        validity_days=_days(table.get("validity_days")),
        ends_never=_ends_never(table.get("not_after", "")),
        key_types=tuple(map(_key_type, _words("key_types", table.get("key_types", []))[0])),
        device_id=_pattern(table.get("device_id", "")),
        extensions=tuple(map(_extension, _list("extensions", table.get("extensions", [])))),
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
    if len(set(words)) != len(words):
        raise ValueError(f"{key} names something twice")
    return words, is_critical


def fields_of(template: str) -> list[str]:
    """The fields of a template: ``device_id``, ``uuid``, ``attr.NAME``."""
    return FIELD.findall(template)


def _template(key: str, text: str) -> str:
    for name in fields_of(text):
        if not _KNOWN_FIELD.fullmatch(name):
            raise ValueError(
                f"{key} has the field {{{name[:80]}}}; there are {{device_id}}, {{attr.NAME}} and {{uuid}}"
            )
    if re.search(r"[{}]", FIELD.sub("", text)):
        raise ValueError(f"{key} has a brace without its other one: {quoted(text)}")
    if not text.strip():
        raise ValueError(f"{key} has an empty value")
    return text


def _subject_part(word: str) -> tuple[str, str]:
    name, equals, template = word.partition("=")
    oid = SUBJECT_ATTRIBUTES[name][0] if name in SUBJECT_ATTRIBUTES else name
    if not equals or not _OID.fullmatch(oid):
        known = ", ".join(SUBJECT_ATTRIBUTES)
        raise ValueError(f"subject has {quoted(word)}; write attribute=value, an OID or one of {known}")
    return oid, _template("subject", template)


def _alt_name(word: str) -> tuple[str, str]:
    form, colon, template = word.partition(":")
    if not colon or form not in NAME_FORMS:
        raise ValueError(f"san has {quoted(word)}; write form:value, a form of {', '.join(NAME_FORMS)}")
    if not fields_of(template.partition(",")[0]) and form in OID_NAMES and not OID_NAMES[form].fullmatch(template):
        raise ValueError(f"san has {quoted(word)}; rid is an OBJECT IDENTIFIER, and hardware one, a comma and a number")
    return form, _template("san", template)


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
    if not _OID.fullmatch(oid):
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


def _extension(table: object) -> ExtraExtension:
    if not isinstance(table, Mapping) or not {"oid"} <= table.keys() <= {"oid", "critical", "hex", "utf8"}:
        raise ValueError("each of the extensions has oid, hex or utf8, and perhaps critical")
    oid, is_critical = table["oid"], table.get("critical", False)
    if not isinstance(oid, str) or not _OID.fullmatch(oid):
        raise ValueError(f"extensions: {quoted(str(oid))} is no OBJECT IDENTIFIER")
    if oid in _OWN_EXTENSIONS:
        raise ValueError(f"extensions: {oid} is {_OWN_EXTENSIONS[oid]}, which no profile gives so")
    if is_critical not in (True, False):
        raise ValueError("extensions: critical is true or false")
    if is_critical:
        raise ValueError(f"extensions: {oid} is critical, so that whoever does not know it refuses the certificate")
    if ("hex" in table) == ("utf8" in table):
        raise ValueError(f"extensions: {oid} has either hex or utf8")
    form = "hex" if "hex" in table else "utf8"
    value = table[form]
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_EXTENSION:
        raise ValueError(f"extensions: {oid} has no value that can be taken")
    if form == "hex" and not fields_of(value):
        try:
            whole_der(value)
        except (ValueError, PolicyError):
            raise ValueError(f"extensions: the hex of {oid} is not one whole DER value") from None
    return ExtraExtension(oid, bool(is_critical), form, _template("extensions", value))


def whole_der(text: str) -> bytes:
    """The octets of a hexadecimal text that is one DER value.

    Raises:
        ValueError: it is not hexadecimal.
        PolicyError: it is not one whole value.
    """
    octets = bytes.fromhex(text)
    der.whole(octets, octets[0] if octets else der.SEQUENCE)
    return octets


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
