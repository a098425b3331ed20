"""The certificate profiles of a state: those that are built in, and those of its settings, which are sealed."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from iotonboard.errors import ConflictError, PolicyError, quoted
from iotonboard.pki import profile_values
from iotonboard.pki.built_in_profiles import BUILT_IN
from iotonboard.pki.profile_form import CertificateProfile, parse_profile
from iotonboard.state.recorded_settings import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.model import KeyType, Validity
    from iotonboard.pki.profile_values import FilledProfile
    from iotonboard.state.config import Config

NO_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 4.1.2.5
_NAME: Final = "name"


def tables_of(config: Config) -> dict[str, dict[str, Any]]:
    """Every profile by its name, as a table of the settings."""
    return {name: table for name, (_, _, table) in BUILT_IN.items()} | dict(config["profiles"])


def find_profile(config: Config, name: str) -> CertificateProfile:
    """The profile of that name.

    Raises:
        PolicyError: there is none, or it needs a CA that this state does not have.
    """
    tables = tables_of(config)
    if name not in tables:
        raise PolicyError(f"there is no profile {quoted(name)}", hint=f"there are: {', '.join(tables)}")
    return parse_profile(name, tables[name])


def content_of(config: Config, name: str) -> str:
    """A profile as it is kept with the certificates that are issued by it: JSON, with its name."""
    return canonical({_NAME: name, **tables_of(config)[name]})


def as_toml(name: str, table: Mapping[str, Any]) -> str:
    """A profile as it stands in the settings' file."""
    return tomli_w.dumps({"profiles": {name: dict(table)}}).rstrip()


def recorded_profile(content: str) -> CertificateProfile:
    """The profile that was kept with a certificate.

    Raises:
        ConflictError: somebody changed it.
    """
    try:
        table = dict(json.loads(content))
        return parse_profile(str(table.pop(_NAME)), table)
    except (ValueError, TypeError, KeyError, PolicyError):
        raise ConflictError(
            "the profile that was kept with the certificate is damaged",
            hint="name one with --profile; 'iotonboard health --deep' tells what was changed",
        ) from None


def fill_profile(
    profile: CertificateProfile, device_id: str, attributes: Mapping[str, str], ca_key: bytes, ca: str
) -> FilledProfile:
    """Fill a profile in for a device. ``ca_key``: SHA-256 of the key of the state's first CA, in which UUIDs are made.

    ``ca``: name of the CA that issues; empty for the one that brokers trust.

    Raises:
        PolicyError: the id or an attribute does not fit, or is missing; or another CA is to issue it.
    """
    refuse_other_ca(profile.name, profile.ca, ca)
    return profile_values.fill(profile, device_id, attributes, uuid.UUID(bytes=ca_key[:16], version=5))


def refuse_other_ca(name: str, wanted: str, ca: str) -> None:
    """Refuse a profile that another CA of the state is to issue than ``ca``, which is empty for that of brokers.

    Raises:
        PolicyError: it is.
    """
    if wanted and wanted != ca and not ca:
        raise PolicyError(
            f"the profile {name!r} needs the CA {wanted!r}, which this state does not have",
            hint=f"type: iotonboard ca add {wanted}; a device that may be a server must not be below the CA that"
            " brokers and MQTT clients trust",
        )
    if wanted != ca:
        raise PolicyError(
            f"the profile {name!r} is not issued by the CA {ca!r}", hint="name another --profile, or leave --ca out"
        )


def key_type_of(profile: CertificateProfile, wanted: KeyType | None, configured: KeyType) -> KeyType:
    """The type of a key that is made: the one that is ``wanted``, else the configured one, or the profile's first.

    Raises:
        PolicyError: the profile does not take the one that is wanted.
    """
    if wanted is not None:
        profile_values.check_key_type(profile, wanted)
        return wanted
    return configured if not profile.key_types or configured in profile.key_types else profile.key_types[0]


def life_of(profile: CertificateProfile, validity: Validity) -> Validity:
    """The life of a certificate: without an end where the profile says so."""
    return replace(validity, not_after=NO_END) if profile.ends_never else validity
