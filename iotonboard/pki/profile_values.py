"""A profile filled in for one device: every value as text, checked for what it is to be in a certificate."""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.errors import PolicyError, quoted
from iotonboard.pki import der
from iotonboard.pki.profile_form import FIELD, OID_NAMES, SUBJECT_ATTRIBUTES, fields_of, whole_der

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.model import KeyType
    from iotonboard.pki.profile_form import CertificateProfile, ExtraExtension

_BOUNDS: Final = dict(SUBJECT_ATTRIBUTES.values())
_LONGEST: Final = 256  # of an attribute that the program does not know, and of a subjectAltName
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<host>[A-Za-z0-9.-]+)")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_URN: Final = re.compile(r"(?i:urn):[A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9]:.+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class FilledProfile:
    """What one certificate gets, as in ``CertificateProfile``; ``extensions``: OID, whether it is critical, DER.

    ``crl_url``: where it says that the CRL can be fetched; empty: nowhere.
    """

    name: str
    subject: tuple[tuple[str, str], ...]
    san: tuple[tuple[str, str], ...]
    key_usage: tuple[str, ...]
    eku: tuple[str, ...]
    eku_is_critical: bool
    ends_never: bool
    extensions: tuple[tuple[str, bool, bytes], ...]
    crl_url: str = ""


def fill(
    profile: CertificateProfile, device_id: str, attributes: Mapping[str, str], namespace: uuid.UUID
) -> FilledProfile:
    """Fill in the values of a device. ``{uuid}`` is its id where that is one, else a UUIDv5 of it in ``namespace``.

    Raises:
        PolicyError: the id does not fit the profile, an attribute is missing, or a value cannot be what it is to be.
    """
    if profile.device_id and not re.fullmatch(profile.device_id, device_id):
        raise PolicyError(
            f"{device_id!r} is no id for the profile {profile.name!r}",
            hint=f"its ids look like: {profile.device_id}",
        )
    values = {f"attr.{name}": value for name, value in attributes.items()}
    values |= {"device_id": device_id, "uuid": _uuid(device_id, namespace)}
    return FilledProfile(
        name=profile.name,
        subject=tuple((oid, _subject_value(oid, _filled(profile, text, values))) for oid, text in profile.subject),
        san=tuple((form, _name(profile, form, _filled(profile, text, values))) for form, text in profile.san),
        key_usage=profile.key_usage,
        eku=profile.eku,
        eku_is_critical=profile.eku_is_critical,
        ends_never=profile.ends_never,
        extensions=tuple(_extension(profile, each, values) for each in profile.extensions),
    )


def check_key_type(profile: CertificateProfile, key_type: KeyType) -> None:
    """Refuse a key that the profile does not take.

    Raises:
        PolicyError: it is of another type.
    """
    if profile.key_types and key_type not in profile.key_types:
        raise PolicyError(
            f"the profile {profile.name!r} takes no {key_type} key", hint=f"use {' or '.join(profile.key_types)}"
        )


def _uuid(device_id: str, namespace: uuid.UUID) -> str:
    return device_id.lower() if _UUID.fullmatch(device_id) else str(uuid.uuid5(namespace, device_id))


def _filled(profile: CertificateProfile, template: str, values: Mapping[str, str]) -> str:
    for name in fields_of(template):
        if not values.get(name):
            attribute = name.removeprefix("attr.")
            raise PolicyError(
                f"the profile {profile.name!r} needs the attribute {attribute!r}",
                hint=f"add --set {attribute}=VALUE, or a column {attribute!r}",
            )
    return FIELD.sub(lambda match: values[match[1]], template)  # in one go: a value is no template


def _subject_value(oid: str, value: str) -> str:
    bound = _BOUNDS.get(oid, _LONGEST)
    if not 1 <= len(value) <= bound or value != value.strip() or not value.isprintable():
        raise PolicyError(f"{quoted(value)} cannot stand in a subject", hint=f"use 1 to {bound} printable characters")
    if oid == SUBJECT_ATTRIBUTES["country"][0] and not re.fullmatch(r"[A-Z]{2}", value):
        raise PolicyError(f"{quoted(value)} is not a country", hint="use two upper-case letters, such as DE")
    if oid == SUBJECT_ATTRIBUTES["serial_number"][0] and not re.fullmatch(r"[A-Za-z0-9 '()+,./:=?-]+", value):
        raise PolicyError(
            f"{quoted(value)} cannot be a serialNumber (a PrintableString, RFC 5280 appendix A.1)",
            hint="use letters, digits, blanks and '()+,-./:=?",
        )
    return value


def _name(profile: CertificateProfile, form: str, value: str) -> str:
    """One subjectAltName (RFC 5280 4.2.1.6), checked; host names in lower case."""
    checks = {"dns": _is_host, "ip": _is_address, "uri": _is_uri, "email": _is_mailbox}
    fits = OID_NAMES[form].fullmatch(value) if form in OID_NAMES else checks.get(form, bool)(value)
    if len(value) > _LONGEST or not value.isprintable() or not fits:
        raise PolicyError(
            f"{quoted(value)} cannot be the {form!r} of a subjectAltName in the profile {profile.name!r}",
            hint=_HINTS.get(form, f"use 1 to {_LONGEST} printable characters"),
        )
    return value.lower() if form == "dns" else value


_HINTS: Final = {
    "dns": "use a host name without a wildcard; an international one in its ASCII form",
    "ip": "use an IPv4 or IPv6 address",
    "rid": "use an OBJECT IDENTIFIER",
    "hardware": "use an OBJECT IDENTIFIER, a comma and a number",
    "uri": "use ASCII with a scheme, such as urn:plant-4:acme:pump; what follows urn: is letters, digits and dashes",
    "email": "use an address such as pump-1@plant.example",
}  # fmt: skip


def _is_host(name: str) -> bool:
    """RFC 5280 4.2.1.6: the preferred name syntax of RFC 1034 3.5; RFC 1123 2.1: the last label is no number."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_uri(text: str) -> bool:
    """RFC 5280 4.2.1.6: an absolute URI, in ASCII; a URN as RFC 8141 section 2 writes it."""
    return bool(_URI.fullmatch(text)) and (text[:4].lower() != "urn:" or bool(_URN.fullmatch(text)))


def _is_mailbox(text: str) -> bool:
    """RFC 5280 4.2.1.6: a Mailbox of RFC 5321 4.1.2, without a quoted local part."""
    match = _MAILBOX.fullmatch(text)
    return match is not None and _is_host(match["host"]) and ".." not in text and not text.startswith(".")


def _extension(
    profile: CertificateProfile, extra: ExtraExtension, values: Mapping[str, str]
) -> tuple[str, bool, bytes]:
    text = _filled(profile, extra.value, values)
    if extra.form == "utf8":
        return extra.oid, extra.is_critical, der.tlv(der.UTF8_STRING, text.encode("utf-8"))
    try:
        octets = whole_der(text)
    except (ValueError, PolicyError):
        raise PolicyError(
            f"the extension {extra.oid} of the profile {profile.name!r} is not one whole DER value",
            hint=f"it was filled in as {quoted(text)}",
        ) from None
    return extra.oid, extra.is_critical, octets
