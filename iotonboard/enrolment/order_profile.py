"""The certificate profile of an order: which one it is, how long the certificate lives, and what else it gets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from iotonboard.enrolment import broker_names
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.ids import in_command
from iotonboard.model import MQTT_PROFILE, KeyType
from iotonboard.pki import facts
from iotonboard.pki.certificates import validity_for
from iotonboard.state import added_cas, added_targets, certificate_profiles
from iotonboard.state.ca_life import last_longer, validity_in_force
from iotonboard.state.chain import chain_in_force
from iotonboard.store import profiles
from iotonboard.store.devices import find_device
from iotonboard.store.issuers import all_issuers, current_issuers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iotonboard.enrolment.desk import Order
    from iotonboard.model import SerialNumber, Validity
    from iotonboard.pki.profile_form import CertificateProfile
    from iotonboard.pki.profile_values import FilledProfile
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """A profile other than that of MQTT clients, and its content as it is kept with the certificate."""

    profile: CertificateProfile
    content: str

    def fill(self, state: State, device_id: str, attributes: Mapping[str, str]) -> FilledProfile:
        """What a certificate of this profile says of a device.

        Raises:
            PolicyError: id or attributes do not fit, it would have the name of a broker, or the profile needs a CA of
                its own.
        """
        main = state.main or state
        if self.profile.ca and state is main and self.profile.ca in added_cas.told_cas(state):
            raise PolicyError(
                f"the profile {self.profile.name!r} is of the CA {self.profile.ca!r}, and a renewal stays with its CA",
                hint=f"type: iotonboard register {in_command(device_id)} --profile {self.profile.name}",
            )
        first_key = _key_in(all_issuers(main.store)[-1].der)
        filled = certificate_profiles.fill_profile(
            self.profile, device_id, attributes, first_key, added_targets.name_of_added(state)
        )
        broker_names.refuse_names_of_brokers(main.store, filled)
        return replace(filled, crl_url=state.config["crl_url"])

    def apply(self, state: State, order: Order, attributes: Mapping[str, str], key_type: KeyType | None) -> Order:
        """An order for a certificate of this profile. ``key_type``: the one that was asked for, of a key made here.

        Raises:
            PolicyError: id, attributes or key do not fit.
        """
        if order.csr_spki_der or order.kept_key:
            key_type = order.key_type
        configured = KeyType(state.config["key_type"])
        return replace(
            order,
            key_type=certificate_profiles.key_type_of(self.profile, key_type, configured),
            validity=certificate_profiles.life_of(self.profile, order.validity),
            profile=self.fill(state, order.device_id, attributes),
            profile_content=self.content,
        )


@lru_cache(maxsize=1)
def _key_in(der: bytes) -> bytes:
    """SHA-256 of the public key of the state's first CA; asked of every device of a list."""
    return facts.certificate_facts(der).spki_sha256


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
    if name == MQTT_PROFILE:
        if state.main:
            certificate_profiles.refuse_other_ca(MQTT_PROFILE, "", added_targets.name_of_added(state))
        return None
    profile = certificate_profiles.find_profile(state.config, name)
    return ChosenProfile(profile, certificate_profiles.content_of(state.config, name))


def ca_of(cas: Opened, named: str, device_id: str | None) -> str:
    """Name of the added CA that is to certify a device; empty for the CA that brokers trust.

    It is the one of the profile that is ``named``, else the one that has the device where the state itself has none of
    that id, else that of the default profile.
    """
    if not cas.names:
        return ""
    state = cas.around
    if not named and device_id and find_device(state.store, device_id) is None:
        for name in cas.names:
            with contextlib.suppress(IotOnboardError):  # one that is damaged keeps no MQTT client waiting
                if find_device(cas.state(name).store, device_id):
                    return name
    tables = certificate_profiles.tables_of(state.config)
    wanted = str(tables.get(named or state.config["default_profile"], {}).get("ca", ""))
    return wanted if wanted in cas.names else ""


def validity_of(
    state: State, chosen: ChosenProfile | None, wanted_days: int | None, ca_validity: Validity, chain: Sequence[bytes]
) -> Validity:
    """The life of a certificate: the days that are wanted, else the profile's, else those of the settings.

    ``ca_validity`` and ``chain`` (DER, its own first) are those of the CA that issues.

    Raises:
        PolicyError: it would outlive the CA, or the CA has ended; or days are wanted of what has no end.
    """
    if wanted_days and chosen and chosen.profile.ends_never:
        raise PolicyError(
            f"certificates of the profile {chosen.profile.name!r} have no end",
            hint="leave --validity-days out, or name another profile",
        )
    return validity_for(
        state.clock(),
        wanted_days or (chosen and chosen.profile.validity_days) or state.config["cert_validity_days"],
        skew_minutes=state.config["not_before_skew_minutes"],
        issuer_validity=ca_validity,
        backdated_to=state.config.backdated_to,
        last_longer=last_longer(chain),
    )


def refuse_outliving(state: State, chosen: ChosenProfile | None, wanted_days: int | None) -> None:
    """Refuse a certificate that would outlive the CA that issues now, before that is unlocked.

    Raises:
        PolicyError: it would, or the CA has ended.
    """
    issuer = current_issuers(state.store)[0]
    validity_of(state, chosen, wanted_days, validity_in_force(state.store, issuer), chain_in_force(state.store, issuer))
