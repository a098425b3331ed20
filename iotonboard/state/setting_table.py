"""Every setting: how its text is read and checked, its default, whether it is sealed, and what makes it tighter.

Sealed are those that decide access, that run a command, or that steer what is signed, erased, or published where
(``settings_seal.py``). They need the passphrase to change, but for a value that is tighter than the one in force: one
with which less is possible, for a shorter time, and nothing is erased or becomes unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.model import MQTT_PROFILE, KeyType
from iotonboard.state import setting_forms as forms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _never(_new: Any, _old: Any) -> bool:
    """Setting it in another way always needs the passphrase."""
    return False


def _lower(new: Any, old: Any) -> bool:
    """A shorter life, overlap or tolerance."""
    return bool(new < old)


def _nothing_runs(new: Any, _old: Any) -> bool:
    """No broker is reloaded, and no command runs."""
    return bool(new == "")


def _nearer_to_the_device(new: Any, old: Any) -> bool:
    """The best key never leaves its device."""
    order = ("any", "workstation", "device")
    return order.index(new) > order.index(old)


def _fewer_rights(new: Any, old: Any) -> bool:
    """Rules that grant may go, rules that deny may come."""
    added, gone = set(new) - set(old), set(old) - set(new)
    return bool(added or gone) and all(_denies(rule) for rule in added) and not any(_denies(rule) for rule in gone)


def _asks_for_orders(new: Any, _old: Any) -> bool:
    """Fewer devices can be made."""
    return bool(new)


def _denies(rule: str) -> bool:
    return rule.startswith("deny:")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: how its text is parsed and checked, its default and what it is for.

    ``is_tighter`` says whether a new value, the first one, is tighter than the old one.
    """

    key: str
    parse: Callable[[object], Any]
    default: Any
    help: str
    is_sealed: bool = True
    is_tighter: Callable[[Any, Any], bool] = _never

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes, where it takes words."""
        return self.parse.words if isinstance(self.parse, forms.OneOf) else ()


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "database_url",
            forms.database_url,
            "sqlite:///devices.db",
            "the database; relative to the state directory",
            is_sealed=False,
        ),
        Setting(
            "cert_validity_days",
            forms.whole(1, 36500),
            365,
            "validity of a new device certificate, in days",
            is_tighter=_lower,
        ),
        Setting("ca_root_path", forms.path, "certs", "folder of the CA files; may be a removable disk"),
        Setting("broker_acl_file", forms.path, "mosquitto.acl", "where the ACL is published"),
        Setting(
            "broker_crl_file", forms.path_or_nothing, "", "where the CRL is published; empty: crl.pem in the CA folder"
        ),
        Setting(
            "broker_ca_file",
            forms.path_or_nothing,
            "",
            "where the CA file is published for the broker; empty: only ca.crt in the CA folder",
        ),
        Setting(
            "download_expiry_minutes",
            forms.whole(1, 525600),
            30,
            "life of a temporary delivery link, in minutes",
            is_sealed=False,
        ),
        Setting("key_type", forms.one_of(*KeyType), KeyType.EC_P256.value, "key type of a new device"),
        Setting(
            "not_before", forms.day, "", "when brokers' and devices' certificates begin, not before the CA; empty: now"
        ),
        Setting(
            "not_before_skew_minutes",
            forms.whole(0, 1440),
            60,
            "how far notBefore and thisUpdate are backdated",
            is_tighter=_lower,
        ),
        Setting(
            "keep_keys",
            forms.keep_keys,
            "always",
            "how long keys and bundles are kept: always, until-confirmed, days:N",
        ),
        Setting(
            "key_origin",
            forms.one_of("any", "device", "workstation"),
            "any",
            "where device keys should be made",
            is_tighter=_nearer_to_the_device,
        ),
        Setting(
            "renewal_overlap_days",
            forms.whole(1, 3650),
            14,
            "how long a renewed certificate stays valid, in days",
            is_tighter=_lower,
        ),
        Setting("crl_next_update_days", forms.whole(1, 3650), 30, "life of a CRL, in days", is_tighter=_lower),
        Setting(
            "crl_calendar_max_days",
            forms.whole(1, 3650),
            180,
            "how far ahead a CRL calendar may reach, in days",
            is_tighter=_lower,
        ),
        Setting(
            "generations_kept",
            forms.whole(0, 1000),
            12,
            "how many published CRLs and ACLs stay for inspection",
            is_sealed=False,
        ),
        Setting(
            "busy_timeout_seconds",
            forms.whole(0, 3600),
            30,
            "how long a command waits for another one",
            is_sealed=False,
        ),
        Setting(
            "max_clock_jump_days",
            forms.whole(1, 36500),
            400,
            "a clock further ahead of the last event is not believed",
            is_tighter=_lower,
        ),
        Setting(
            "expiring.device_days",
            forms.whole(0, 36500),
            30,
            "'expiring' names a device this many days before",
            is_sealed=False,
        ),
        Setting(
            "expiring.broker_days",
            forms.whole(0, 36500),
            30,
            "'expiring' names a broker this many days before",
            is_sealed=False,
        ),
        Setting(
            "expiring.ca_days",
            forms.whole(0, 36500),
            365,
            "'expiring' names a CA this many days before",
            is_sealed=False,
        ),
        Setting(
            "expiring.crl_days",
            forms.whole(0, 36500),
            7,
            "'expiring' names the CRL this many days before",
            is_sealed=False,
        ),
        Setting("subject.organization", forms.name_part, "", "O in device and broker subjects; empty leaves it out"),
        Setting(
            "subject.organizational_unit", forms.name_part, "", "OU in device and broker subjects; empty leaves it out"
        ),
        Setting("subject.country", forms.country, "", "C in device and broker subjects; empty leaves it out"),
        Setting("acl.style", forms.one_of("per-device", "pattern"), "per-device", "shape of the ACL's managed region"),
        Setting(
            "acl.topics",
            forms.topics,
            ("readwrite:devices/{device_id}/#",),
            "topic rules that every device gets",
            is_tighter=_fewer_rights,
        ),
        Setting("broker.user", forms.text, "", "owner of the published files; empty keeps the existing file's"),
        Setting("broker.group", forms.text, "", "group of the published files; empty keeps the existing file's"),
        Setting(
            "broker.reload",
            forms.reload,
            "",
            "how --reload reaches the broker: pid:FILE, systemd:UNIT or command:WORDS",
            is_tighter=_nothing_runs,
        ),
        Setting(
            "broker.reload_timeout_seconds",
            forms.whole(1, 3600),
            60,
            "how long --reload waits for the broker",
            is_sealed=False,
        ),
        Setting(
            "broker.version",
            forms.one_of("2.0", "2.1"),
            "2.0",
            "the release of Mosquitto that reads the files",
            is_sealed=False,
        ),
        Setting(
            "broker.conf",
            forms.path_or_nothing,
            "",
            "the mosquitto.conf that 'health' and --reload judge; empty: none",
            is_sealed=False,
        ),
        Setting(
            "office",
            forms.fingerprint,
            "",
            "the office whose orders are followed: SHA-256 of its certificate; empty: none",
        ),
        Setting(
            "orders",
            forms.one_of("", "required"),
            "",
            "required: devices are made under an open order of the office alone",
            is_tighter=_asks_for_orders,
        ),
        Setting("default_profile", forms.profile_name, MQTT_PROFILE, "the certificate profile of a new device"),
        Setting(
            "crl_url",
            forms.crl_url,
            "",
            "where devices' certificates say that the CRL can be fetched: http:// or ldap://; empty: nowhere",
        ),
        Setting("profiles", forms.profiles, {}, "certificate profiles: [profiles.NAME] tables of the file"),
        Setting("broker.mode", forms.octal, "", "mode of the published files; empty keeps the existing file's"),
    )
}
