"""The configuration: ``iotonboard.toml``, environment and defaults, resolved into one frozen object.

Precedence: flag > ``IOTONBOARD_<KEY>`` > the five plain names > ``iotonboard.toml`` > default.
Flags are applied by the commands; this module resolves the rest and remembers where each value came from.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError, UsageError
from iotonboard.model import KeyType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_NAME = "iotonboard.toml"
ENV_PREFIX = "IOTONBOARD_"
# The portal's names, kept so that its users' environments go on working.
PLAIN_NAMES = (
    "DATABASE_URL",
    "CERT_VALIDITY_DAYS",
    "CA_ROOT_PATH",
    "BROKER_ACL_FILE",
    "DOWNLOAD_EXPIRY_MINUTES",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: how its text is parsed and checked, its default and what it is for."""

    key: str
    parse: Callable[[object], Any]
    default: Any
    help: str


def _text(value: object) -> str:
    if not isinstance(value, str) or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must be one line of text")
    return value


def _whole(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError("must be a whole number")  # noqa: TRY004 - reported as a bad value, not a bad type
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise ValueError("must be a whole number")
        if not low <= int(value) <= high:
            raise ValueError(f"must be between {low} and {high}")
        return int(value)

    return parse


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return parse


def _keep_keys(value: object) -> str:
    if value not in ("always", "until-confirmed") and not re.fullmatch(r"days:[1-9][0-9]{0,4}", _text(value)):
        raise ValueError("must be always, until-confirmed or days:N")
    return str(value)


def _country(value: object) -> str:
    if value != "" and not re.fullmatch(r"[A-Z]{2}", _text(value)):
        raise ValueError("must be two capital letters (ISO 3166)")
    return str(value)


def _reload(value: object) -> str:
    if value != "" and not re.fullmatch(r"(pid|systemd|command):.*\S.*", _text(value)):
        raise ValueError("must be pid:FILE, systemd:UNIT or command:WORDS")
    return str(value)


def _octal(value: object) -> str:
    if value != "" and not re.fullmatch(r"0?[0-7]{3}", _text(value)):
        raise ValueError('must be a file mode such as "0640"')
    return str(value)


def _database_url(value: object) -> str:
    if not re.fullmatch(r"sqlite:///[^?#]+", _text(value)):
        raise ValueError("must look like sqlite:///devices.db")
    return str(value)


def _topics(value: object) -> tuple[str, ...]:
    """Accept ``[[acl.topics]]`` tables with access and topic, or a list of ``access:topic`` texts."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("must be a list of access and topic")  # noqa: TRY004 - reported as a bad value
    rules = []
    for item in items:
        if isinstance(item, dict):
            if set(item) != {"access", "topic"}:
                raise ValueError("each entry needs exactly 'access' and 'topic'")
            item = f"{item['access']}:{item['topic']}"  # noqa: PLW2901 - the two spellings meet here
        rules.append(_text(item))
    return tuple(rules)


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "database_url",
            _database_url,
            "sqlite:///devices.db",
            "the database; relative to the state directory",
        ),
        Setting("cert_validity_days", _whole(1, 36500), 365, "validity of a new device certificate, in days"),
        Setting("ca_root_path", _text, "certs", "folder of the CA files; may be a removable disk"),
        Setting("broker_acl_file", _text, "mosquitto.acl", "where the ACL is published"),
        Setting("broker_crl_file", _text, "", "where the CRL is published; empty: crl.pem in the CA folder"),
        Setting("download_expiry_minutes", _whole(1, 525600), 30, "life of a temporary delivery link, in minutes"),
        Setting("key_type", _one_of(*KeyType), KeyType.EC_P256.value, "key type of a new device"),
        Setting("not_before_skew_minutes", _whole(0, 1440), 60, "how far notBefore and thisUpdate are backdated"),
        Setting(
            "keep_keys", _keep_keys, "always", "how long keys and bundles are kept: always, until-confirmed, days:N"
        ),
        Setting("key_origin", _one_of("any", "device", "workstation"), "any", "where device keys should be made"),
        Setting("renewal_overlap_days", _whole(1, 3650), 14, "how long a renewed certificate stays valid, in days"),
        Setting("crl_next_update_days", _whole(1, 3650), 30, "life of a CRL, in days"),
        Setting("crl_calendar_max_days", _whole(1, 3650), 180, "how far ahead a CRL calendar may reach, in days"),
        Setting("generations_kept", _whole(0, 1000), 12, "how many published CRLs and ACLs stay for inspection"),
        Setting("busy_timeout_seconds", _whole(0, 3600), 30, "how long a command waits for another one"),
        Setting(
            "max_clock_jump_days",
            _whole(1, 36500),
            400,
            "a clock further ahead of the last event is not believed",
        ),
        Setting("expiring.device_days", _whole(0, 36500), 30, "'expiring' names a device this many days before"),
        Setting("expiring.broker_days", _whole(0, 36500), 30, "'expiring' names a broker this many days before"),
        Setting("expiring.ca_days", _whole(0, 36500), 365, "'expiring' names a CA this many days before"),
        Setting("expiring.crl_days", _whole(0, 36500), 7, "'expiring' names the CRL this many days before"),
        Setting("subject.organization", _text, "", "O in device and broker subjects; empty leaves it out"),
        Setting("subject.organizational_unit", _text, "", "OU in device and broker subjects; empty leaves it out"),
        Setting("subject.country", _country, "", "C in device and broker subjects; empty leaves it out"),
        Setting("acl.style", _one_of("per-device", "pattern"), "per-device", "shape of the ACL's managed region"),
        Setting("acl.topics", _topics, ("readwrite:devices/{device_id}/#",), "topic rules that every device gets"),
        Setting("broker.user", _text, "", "owner of published ACL and CRL; empty keeps the existing file's"),
        Setting("broker.group", _text, "", "group of published ACL and CRL; empty keeps the existing file's"),
        Setting(
            "broker.reload", _reload, "", "how --reload reaches the broker: pid:FILE, systemd:UNIT or command:WORDS"
        ),
        Setting("broker.reload_timeout_seconds", _whole(1, 3600), 60, "how long --reload waits for the broker"),
        Setting("broker.version", _one_of("2.0", "2.1"), "2.0", "the release of Mosquitto that reads the files"),
        Setting("broker.conf", _text, "", "the mosquitto.conf that 'health' and --reload judge; empty: none"),
        Setting("broker.mode", _octal, "", "mode of published ACL and CRL; empty keeps the existing file's"),
    )
}


class Origin(StrEnum):
    """Where a value came from; an earlier one wins over those behind it. Flags are the commands'."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a setting, and where it came from; ``variable`` names the environment's."""

    value: Any
    origin: Origin
    variable: str = ""

    @property
    def source(self) -> str:
        """Where it came from, as ``config show`` prints it."""
        return self.variable or str(self.origin)


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of a state: ``config[key]`` is a value, ``config.settings[key]`` also says where it came from."""

    settings: Mapping[str, Value]

    def __getitem__(self, key: str) -> Any:
        return self.settings[key].value

    @property
    def broker_reader(self) -> str:
        """Who reads the published files, for ``permissions.unreadable_for``; empty where that is not configured.

        Files may belong to root and be read through their group.
        """
        user, group = self["broker.user"], self["broker.group"]
        if group and user in {"", "0", "root"}:
            return f":{group}"
        return str(user)

    @property
    def subject_extra(self) -> tuple[tuple[str, str], ...]:
        """Attributes that come before the commonName of every device and broker, with their values."""
        names = ("country", "organization", "organizational_unit")
        return tuple((name, self[f"subject.{name}"]) for name in names if self[f"subject.{name}"])


def load_config(file_text: str | None, environment: Mapping[str, str]) -> Config:
    """Resolve all settings.

    ``file_text`` is the content of ``iotonboard.toml`` or ``None`` when there is none.

    Raises:
        PolicyError: the file is not TOML, names an unknown key, or a value is not allowed.
    """
    in_file = parse_file(file_text) if file_text is not None else {}
    return Config({key: _find(key, in_file, environment) for key in SETTINGS})


def _find(key: str, in_file: Mapping[str, object], environment: Mapping[str, str]) -> Value:
    prefixed = ENV_PREFIX + key.upper().replace(".", "_")
    for name in (prefixed, key.upper()):
        if name in environment and (name == prefixed or name in PLAIN_NAMES):
            text = environment[name]
            raw = text.split(",") if key == "acl.topics" else text
            return Value(parse_value(key, raw, name), Origin.ENVIRONMENT, name)
    if key in in_file:
        return Value(parse_value(key, in_file[key], "file"), Origin.FILE)
    return Value(SETTINGS[key].default, Origin.DEFAULT)


def parse_value(key: str, raw: object, source: str) -> Any:
    """Check one value.

    Raises:
        UsageError: there is no such key.
        PolicyError: the value is not allowed for it.
    """
    setting = SETTINGS.get(key)
    if setting is None:
        raise UsageError(f"there is no setting {key!r}", hint="'iotonboard config show' lists all of them")
    try:
        return setting.parse(raw)
    except ValueError as error:
        raise PolicyError(f"{key} = {raw!r} ({source}): {error}", hint=f"{key}: {setting.help}") from None


def parse_file(text: str) -> dict[str, object]:
    """Read ``iotonboard.toml`` into dotted keys.

    Raises:
        PolicyError: not TOML, or a key that does not exist.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(
            f"{FILE_NAME} is not valid TOML: {error}", hint="correct that line, or restore the file"
        ) from None
    flat: dict[str, object] = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    for key in flat:
        if key not in SETTINGS:
            raise PolicyError(
                f"{FILE_NAME} names an unknown setting {key!r}",
                hint="correct or remove it; then 'iotonboard config show' lists them",
            )
    return flat


def resolve_path(root: str, configured: str) -> str:
    """A configured path, taken relative to the state directory ``root``."""
    return os.path.normpath(os.path.join(root, os.path.expanduser(configured)))


def database_path(root: str, url: str) -> str:
    """The file behind ``sqlite:///relative`` or ``sqlite:////absolute``."""
    return resolve_path(root, url.removeprefix("sqlite:///"))
