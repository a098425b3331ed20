"""One device that is to be registered, as a list, a stream or the command line describes it; each field is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, UsageError, quoted
from iotonboard.ids import parse_id
from iotonboard.model import DeviceId, KeyType

if TYPE_CHECKING:
    from collections.abc import Mapping

# Fields that have a meaning beside the id.
OF_A_DEVICE = ("name", "csr", "key_type", "validity_days", "topics", "profile")
_ATTRIBUTE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_MAX_VALUE = 1024
_MAX_DAYS = 36500
_RESERVED = frozenset({"device_id", "id", *OF_A_DEVICE})


@dataclass(frozen=True, slots=True)
class Request:
    """One device. ``device_id`` ``None``: a UUIDv4 is made. ``line`` 0: not from a list.

    ``topics`` are rules as text (``access:topic``); ``csr``: a certification request, PEM or DER, where the device made
    its key itself. ``profile`` empty: the one of the device's newest certificate, or the default.
    """

    device_id: DeviceId | None = None
    line: int = 0
    name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    topics: tuple[str, ...] = ()
    csr: bytes | None = None
    key_type: KeyType | None = None
    validity_days: int | None = None
    profile: str = ""


def parse_request(device_id: str, fields: Mapping[str, str], line: int) -> Request:
    """Check one device's id, which may be empty, and its fields: those that have a meaning, and attributes.

    What ``csr`` names is left to the caller.

    Raises:
        PolicyError: a field is not allowed.
    """
    return Request(
        device_id=parse_id(device_id) if device_id else None,
        line=line,
        name=check_value("name", fields.get("name", "")),
        attributes=tuple(
            (check_attribute_name(key), check_value(key, value))
            for key, value in fields.items()
            if key not in OF_A_DEVICE and value != ""
        ),
        topics=tuple(fields.get("topics", "").split()),
        key_type=_parse_key_type(fields["key_type"]) if fields.get("key_type") else None,
        validity_days=_parse_days(fields["validity_days"]) if fields.get("validity_days") else None,
        profile=fields.get("profile", ""),
    )


def with_defaults(request: Request, defaults: Request) -> Request:
    """A listed device with what was said for all of them: its own values go first, topics are added."""
    return replace(
        request,
        name=request.name or defaults.name,
        attributes=tuple({**dict(defaults.attributes), **dict(request.attributes)}.items()),
        topics=(*defaults.topics, *request.topics),
        key_type=request.key_type or defaults.key_type,
        validity_days=request.validity_days or defaults.validity_days,
        profile=request.profile or defaults.profile,
    )


def check_attribute_name(name: str) -> str:
    """Return an attribute's name.

    Raises:
        PolicyError: not 1 to 64 letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(_ATTRIBUTE_NAME, name):
        raise PolicyError(
            f"{quoted(name)} is not an attribute name",
            hint="use letters, digits, dots, dashes and underscores",
        )
    return name


def check_value(name: str, value: str) -> str:
    """Return a name's or attribute's value.

    Raises:
        PolicyError: too long, or with characters that steer a terminal.
    """
    if len(value) > _MAX_VALUE:
        raise PolicyError(f"{name!r} is longer than {_MAX_VALUE} characters", hint="shorten it")
    if not value.isprintable():
        raise PolicyError(f"{name!r} holds a character that is not printable", hint="remove it")
    return value


def parse_attribute(text: str) -> tuple[str, str]:
    """Parse ``KEY=VALUE``.

    Raises:
        UsageError: no equals sign, or a name that has a meaning of its own.
        PolicyError: a name or value that is not allowed.
    """
    name, equals, value = text.partition("=")
    if not equals or name in _RESERVED:
        raise UsageError(f"{quoted(text)} is not KEY=VALUE", hint="for example --set line=A3")
    return check_attribute_name(name), check_value(name, value)


def _parse_key_type(text: str) -> KeyType:
    try:
        return KeyType(text)
    except ValueError:
        raise PolicyError(f"{quoted(text)} is not a key type", hint=f"use one of {', '.join(KeyType)}") from None


def _parse_days(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _MAX_DAYS:
        raise PolicyError(f"validity_days {quoted(text)} is not a number of days", hint=f"use 1 to {_MAX_DAYS}")
    return int(text)
