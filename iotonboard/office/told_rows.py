"""Rows of a station as a registry has them, table by table; what no station can have is refused with its journal.

So neither a list nor an ACL that is made of all stations together fails by what one of them says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.broker.topics import check_topic_rule
from iotonboard.errors import PolicyError
from iotonboard.model import MQTT_PROFILE, Access, DeviceId, RevocationReason, TopicRule
from iotonboard.pki.foreign_ca import read_foreign_ca
from iotonboard.pki.key_id import key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UPDATE = "update the program at the office"
_SERIAL = 20  # octets


@dataclass(frozen=True, slots=True)
class Telling:
    """What rows are read by: the profiles' names, by the numbers of certificates, and whose orders are ours."""

    profiles: Mapping[int, str]
    office: str


def folded(device_id: str) -> str:
    """An id as two of them are compared: without regard to the case of ASCII letters, as stations compare them."""
    return device_id.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _issuer(_: Telling, row: list[Any]) -> list[Any]:
    number, serial, not_before, not_after, der, _created, retired_at = row
    return [number, serial, key_id(der), read_foreign_ca(der).name, not_before, not_after, der, retired_at]


def _device(_: Telling, row: list[Any]) -> list[Any]:
    number, device_id, name, attributes, created_at, retired_at = row
    DeviceId.adopted(device_id)
    if attributes != "{}":
        said = _object(attributes, f"the attributes of {device_id!r}")
        if not all(isinstance(value, str) for value in said.values()):
            raise PolicyError(f"an attribute of {device_id!r} in the journal is no text", hint=_UPDATE)
    return [number, device_id, folded(device_id), name, attributes, created_at, retired_at]


def _topic(_: Telling, row: list[Any]) -> list[Any]:
    access, topic = row[1:]
    if access not in set(Access):
        raise PolicyError(f"{access[:40]!r} in the journal is no access to a topic", hint=_UPDATE)
    check_topic_rule(TopicRule(Access(access), topic), template=True)
    return row


def _profile(_: Telling, row: list[Any]) -> list[Any]:
    number, content = row
    return [number, str(_object(content, "a profile").get("name", "")), content]


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise PolicyError(f"{what} in the journal cannot be read", hint=_UPDATE)
    return said


def _certificate(told: Telling, row: list[Any]) -> list[Any]:
    number, serial, issuer, device, host, not_before, not_after, der, created_at = row
    if len(serial) != _SERIAL or (device is None) == (host is None) or not (host or "x").isprintable():
        raise PolicyError(f"certificate {number} in the journal cannot be", hint=_UPDATE)
    profile = "" if device is None else told.profiles.get(number, MQTT_PROFILE)
    fingerprint = sha256(der).digest()
    return [number, serial, issuer, device, host, not_before, not_after, fingerprint, created_at, profile]


def _production(told: Telling, row: list[Any]) -> list[Any]:
    """Under which order of this office a certificate was made; one of another office is none."""
    number, office, order = row
    return [number, order if office == told.office else 0]


def _revocation(_: Telling, row: list[Any]) -> list[Any]:
    reason = row[3]
    if reason not in set(RevocationReason):
        raise PolicyError(f"{reason[:40]!r} in the journal is no reason", hint=_UPDATE)
    return row


def _foreign_revocation(_: Telling, row: list[Any]) -> list[Any]:
    return row[:2]


def _lost_device(_: Telling, row: list[Any]) -> list[Any]:
    DeviceId.adopted(row[0])
    return row


def _as_it_is(_: Telling, row: list[Any]) -> list[Any]:
    return row


MADE: Mapping[str, Callable[[Telling, list[Any]], list[Any]]] = {
    "issuer": _issuer,
    "root_crl": _as_it_is,
    "device": _device,
    "topic": _topic,
    "profile": _profile,
    "certificate": _certificate,
    "production": _production,
    "revocation": _revocation,
    "released": _as_it_is,
    "foreign_revocation": _foreign_revocation,
    "lost_device": _lost_device,
    "crl": _as_it_is,
}
