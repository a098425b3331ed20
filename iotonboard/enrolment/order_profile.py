"""The certificate profile of an order: which one it is, and what it makes of the order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.model import KeyType
from iotonboard.pki import facts
from iotonboard.state import certificate_profiles
from iotonboard.store import profiles
from iotonboard.store.issuers import all_issuers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.enrolment.desk import Order
    from iotonboard.model import SerialNumber
    from iotonboard.pki.profile_form import CertificateProfile
    from iotonboard.state.state import State

MQTT = "mqtt"


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """A profile other than that of MQTT clients, and its content as it is kept with the certificate."""

    profile: CertificateProfile
    content: str

    def days(self, wanted: int | None) -> int | None:
        """The life in days: the one that is wanted, or the profile's; ``None``: as the settings say."""
        return wanted or self.profile.validity_days

    def apply(self, state: State, order: Order, attributes: Mapping[str, str], key_type: KeyType | None) -> Order:
        """An order for a certificate of this profile. ``key_type``: the one that was asked for, of a key made here.

        Raises:
            PolicyError: id, attributes or key do not fit.
        """
        if order.csr_spki_der or order.kept_key:
            key_type = order.key_type
        configured = KeyType(state.config["key_type"])
        first_ca = facts.certificate_facts(all_issuers(state.store)[-1].der)
        filled = certificate_profiles.fill_profile(self.profile, order.device_id, attributes, first_ca.spki_sha256)
        return replace(
            order,
            key_type=certificate_profiles.key_type_of(self.profile, key_type, configured),
            validity=certificate_profiles.life_of(self.profile, order.validity),
            profile=replace(filled, crl_url=state.config["crl_url"]),
            profile_content=self.content,
        )


def choose_profile(state: State, named: str, newest: SerialNumber | None) -> ChosenProfile | None:
    """The profile that is ``named``; else the one that was kept with the ``newest`` certificate of the device.

    For a device without any it is the default. ``None``: that of MQTT clients.

    Raises:
        PolicyError: there is none of that name.
        ConflictError: somebody changed the one that was kept.
    """
    if not named and newest is not None:
        content = profiles.profile_of(state.store, newest)
        return None if content is None else ChosenProfile(certificate_profiles.recorded_profile(content), content)
    name = named or state.config["default_profile"]
    if name == MQTT:
        return None
    profile = certificate_profiles.find_profile(state.config, name)
    return ChosenProfile(profile, certificate_profiles.content_of(state.config, name))
