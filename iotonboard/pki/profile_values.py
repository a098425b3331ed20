"""A profile filled in for one device: every value as text, checked for what it is to be in a certificate."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from iotonboard.errors import PolicyError
from iotonboard.pki.extra_extension import extension_value
from iotonboard.pki.name_values import alt_name, form_of, subject_value
from iotonboard.pki.profile_template import fields_of, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iotonboard.model import KeyType
    from iotonboard.pki.profile_form import CertificateProfile

_Kind = TypeVar("_Kind")
_Checked = TypeVar("_Checked")
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
        subject=tuple(
            (oid, _checked(profile, subject_value, oid, _filled(profile, text, values)))
            for oid, text in profile.subject
        ),
        san=tuple(_name(profile, form, _filled(profile, text, values)) for form, text in profile.san),
        key_usage=profile.key_usage,
        eku=profile.eku,
        eku_is_critical=profile.eku_is_critical,
        ends_never=profile.ends_never,
        extensions=tuple(
            (each.oid, each.is_critical, _checked(profile, extension_value, each, _filled(profile, each.value, values)))
            for each in profile.extensions
        ),
    )


def _name(profile: CertificateProfile, form: str, text: str) -> tuple[str, str]:
    kind = form_of(form, text)
    return kind, _checked(profile, alt_name, kind, text)


def _checked(profile: CertificateProfile, check: Callable[[_Kind, str], _Checked], kind: _Kind, text: str) -> _Checked:
    try:
        return check(kind, text)
    except PolicyError as error:
        raise PolicyError(f"profile {profile.name!r}: {error.message}", hint=error.hint) from None


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
                hint=f"add --set {attribute}=VALUE, or a column {attribute!r}; to 'register --if-exists reissue' where"
                " the device is there",
            )
    return filled(template, values)
