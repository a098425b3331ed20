"""Values of subjects and subjectAltNames as text: whether each can be what it is to be in a certificate."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from iotonboard.errors import PolicyError, quoted
from iotonboard.pki.profiles import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable

# Attribute of a subject -> its OBJECT IDENTIFIER and upper bound in characters (RFC 5280 appendix A.1).
SUBJECT_ATTRIBUTES: Final = {
    **{name: (oid.dotted_string, bound) for name, (oid, bound) in ATTRIBUTES.items()},
    "serial_number": ("2.5.4.5", 64),
}
HOST: Final = "host"  # a host name or an address, and in the certificate what it is
NAME_FORMS: Final = (HOST, "dns", "ip", "uri", "email", "upn", "rid", "hardware")
OID: Final = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]{0,8}))(?:\.(?:0|[1-9][0-9]{0,38}))+")
# Names that hold an OBJECT IDENTIFIER: registeredID, and hardwareModuleName with a number (RFC 4108 section 5).
OID_NAMES: Final = {"rid": OID, "hardware": re.compile(rf"{OID.pattern},.+")}
_BOUNDS: Final = dict(SUBJECT_ATTRIBUTES.values())
_LONGEST: Final = 256  # of an attribute that the program does not know, and of a subjectAltName
# Attributes of their own form, with what they are and what to write.
_FORMS: Final = {
    SUBJECT_ATTRIBUTES["country"][0]: (re.compile(r"[A-Z]{2}"), "a country", "use two upper-case letters, such as DE"),
    SUBJECT_ATTRIBUTES["serial_number"][0]: (
        re.compile(r"[A-Za-z0-9 '()+,./:=?-]+"),
        "a serialNumber (a PrintableString, RFC 5280 appendix A.1)",
        "use letters, digits, blanks and '()+,-./:=?",
    ),
    **dict.fromkeys(
        ("1.3.6.1.4.1.37244.2.1", "1.3.6.1.4.1.37244.2.2"),  # Matter 1.3 core, 6.2.2
        (re.compile(r"[0-9A-F]{4}"), "a vendor or product of Matter", "use four hexadecimal digits, such as FFF1"),
    ),
}
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_ASCII_FORM: Final = "xn--"  # RFC 5890 2.3.2.1
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<host>[A-Za-z0-9.-]+)")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
# RFC 8141 section 2 knows shorter names behind urn:, without dots. OPC UA applications have their host's there.
_URN: Final = re.compile(r"(?i:urn):[A-Za-z0-9][A-Za-z0-9._-]{0,253}:.+")
_HINTS: Final = {
    "dns": "use a host name without a wildcard; an international one in its ASCII form",
    "ip": "use an IPv4 or IPv6 address",
    "rid": "use an OBJECT IDENTIFIER",
    "hardware": "use an OBJECT IDENTIFIER, a comma and a number",
    "uri": "use ASCII with a scheme, such as urn:plant-4:acme:pump",
    "email": "use an address such as pump-1@plant.example",
}  # fmt: skip


def subject_value(oid: str, value: str) -> str:
    """The value of an attribute of a subject, checked.

    Raises:
        PolicyError: it cannot be.
    """
    bound = _BOUNDS.get(oid, _LONGEST)
    if not 1 <= len(value) <= bound or value != value.strip() or not value.isprintable():
        raise PolicyError(f"{quoted(value)} cannot stand in a subject", hint=f"use 1 to {bound} printable characters")
    pattern, what, hint = _FORMS.get(oid, (None, "", ""))
    if pattern and not pattern.fullmatch(value):
        raise PolicyError(f"{quoted(value)} cannot be {what}", hint=hint)
    return value


def form_of(form: str, value: str) -> str:
    """The form in which a value stands in a certificate: of a host, that of a name or of an address."""
    if form != HOST:
        return form
    return "ip" if _is_address(value) else "dns"


def alt_name(form: str, value: str) -> str:
    """One subjectAltName (RFC 5280 4.2.1.6), checked; host names in lower case.

    Raises:
        PolicyError: it cannot be.
    """
    fits = OID_NAMES[form].fullmatch(value) if form in OID_NAMES else _CHECKS.get(form, bool)(value)
    if len(value) > _LONGEST or not value.isprintable() or not fits:
        raise PolicyError(
            f"{quoted(value)} cannot be the {form!r} of a subjectAltName",
            hint=_HINTS.get(form, f"use 1 to {_LONGEST} printable characters"),
        )
    return value.lower() if form == "dns" else value


def _is_host(name: str) -> bool:
    """RFC 5280 4.2.1.6: the preferred name syntax of RFC 1034 3.5; RFC 1123 2.1: the last label is no number."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(_is_label, labels)) and not labels[-1].isdigit()


def _is_label(label: str) -> bool:
    """A label that says that it is international (RFC 5890 2.3.2.1) is one: Punycode, as RFC 3492 writes it."""
    if not _LABEL.fullmatch(label) or not label.lower().startswith(_ASCII_FORM):
        return bool(_LABEL.fullmatch(label))
    encoded = label[len(_ASCII_FORM) :].lower()
    try:
        decoded = encoded.encode("ascii").decode("punycode")
        return not decoded.isascii() and decoded.encode("punycode") == encoded.encode("ascii")
    except (UnicodeError, ValueError):
        return False


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_uri(text: str) -> bool:
    """RFC 5280 4.2.1.6: an absolute URI of RFC 3986, in ASCII; a URN has a namespace and a name."""
    return bool(_URI.fullmatch(text)) and (text[:4].lower() != "urn:" or bool(_URN.fullmatch(text)))


def _is_mailbox(text: str) -> bool:
    """RFC 5280 4.2.1.6: a Mailbox of RFC 5321 4.1.2, without a quoted local part."""
    match = _MAILBOX.fullmatch(text)
    return match is not None and _is_host(match["host"]) and ".." not in text and not text.startswith((".", "@"))


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "dns": _is_host, "ip": _is_address, "uri": _is_uri, "email": _is_mailbox,
}  # fmt: skip
