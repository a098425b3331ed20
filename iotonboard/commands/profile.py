"""``profile``: which certificate profiles there are, what they say, and what a device would get. Nothing is changed.

What would be issued is issued: by a key that is made for it and forgotten, under the names of the CA, through the same
lint. So what is shown is decoded from a certificate.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from iotonboard.enrolment.desk import Order
from iotonboard.enrolment.order_profile import ChosenProfile, validity_of
from iotonboard.errors import PolicyError
from iotonboard.model import DeviceId, KeyType, SerialNumber
from iotonboard.pki.built_in_profiles import BUILT_IN
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.decoded import decoded
from iotonboard.pki.issuer import load_issuer
from iotonboard.pki.keys import generate_key
from iotonboard.pki.profiled import issue_profiled, subject_name
from iotonboard.pki.profiles import check_permitted
from iotonboard.pki.signatures import SoftwareSigner
from iotonboard.state.ca_life import validity_in_force
from iotonboard.state.certificate_profiles import as_toml, content_of, find_profile, tables_of
from iotonboard.state.chain import chain_in_force
from iotonboard.store.devices import device_record, find_device
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.pki.profile_form import CertificateProfile
    from iotonboard.state.config import Config
    from iotonboard.state.state import State

_OF_BROKERS: Final = "that of the brokers"


@dataclass(frozen=True, slots=True)
class Listed:
    """One profile: what it is for, its source, its table, and whether it is the default. Own ones have no source.

    ``toml``: the table as it stands in the settings' file.
    """

    name: str
    about: str
    source: str
    table: Mapping[str, Any]
    is_default: bool
    toml: str


def list_profiles(config: Config) -> list[Listed]:
    """Every profile, built-in ones first."""
    own = config["profiles"]
    return [
        Listed(
            name,
            "of the settings" if name in own else BUILT_IN[name][0],
            "" if name in own else BUILT_IN[name][1],
            table,
            name == config["default_profile"],
            as_toml(name, table),
        )
        for name, table in tables_of(config).items()
    ]


def show_profile(config: Config, name: str) -> Listed:
    """One profile.

    Raises:
        PolicyError: there is none of that name.
    """
    find_profile(config, name)
    return next(one for one in list_profiles(config) if one.name == name)


def check_profile(state: State, name: str, device_id: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """What a device would get, decoded from a certificate that no CA of this state signed: each field with its value.

    ``attributes`` come before those of the device, which need not be there.

    Raises:
        PolicyError: there is no such profile, or the device's id or attributes do not fit it; or the root
            does not permit the subject.
    """
    profile = find_profile(state.config, name)
    known = device_record(state.store, device_id).attributes if find_device(state.store, device_id) else {}
    ca = current_issuers(state.store)[0]
    of_ca = validity_in_force(state.store, ca)
    chosen = ChosenProfile(_with_own_ca(profile), content_of(state.config, name))
    chain = chain_in_force(state.store, ca)
    validity = validity_of(state, chosen, None, of_ca, chain)
    order = Order(DeviceId(device_id), 0, SerialNumber.from_random(os.urandom(20)), validity, KeyType.EC_P256)
    order = chosen.apply(state, order, {**known, **attributes}, None)
    filled = order.profile
    if filled is None:
        raise PolicyError(f"the profile {name!r} fills nothing in")
    if profile.ca:
        filled = replace(filled, crl_url="")  # its lists are others
    else:
        check_permitted(subject_name(filled), chain[0])
    signer = SoftwareSigner(generate_key(KeyType.EC_P256))
    stand_in = make_ca(CaProfile(Subject("of no CA")), signer, order.serial, of_ca)
    public_key = generate_key(order.key_type).public_key()
    der = issue_profiled(load_issuer(stand_in, signer), public_key, filled, order.serial, order.validity)
    return {"CA": profile.ca or _OF_BROKERS, **dict(decoded(der))}


def is_taken_for_a_server(found: Mapping[str, str]) -> bool:
    """Whether what a device would get is below the CA of the brokers and has no purpose: it may be a server then."""
    return found["CA"] == _OF_BROKERS and not any(key.startswith("extended key usage") for key in found)


def _with_own_ca(profile: CertificateProfile) -> CertificateProfile:
    """It can be tried before its CA is there."""
    return replace(profile, ca="")
