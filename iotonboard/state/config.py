"""The settings in force: sealed in the database, from the environment, the file or the default, in one frozen object.

Precedence: flag > ``IOTONBOARD_<KEY>`` > the five plain names > sealed, or ``iotonboard.toml`` for what is not sealed >
default. Flags are applied by the commands; this module resolves the rest and remembers where each value came from.
What is wrong with a source stops nothing here: it is kept as a problem, and the value comes from the next one.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError, UsageError, did_you_mean
from iotonboard.model import parse_moment
from iotonboard.state import profile_problems
from iotonboard.state.setting_table import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

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


class Origin(StrEnum):
    """Where a value came from. Flags are the commands'."""

    ENVIRONMENT = "environment"
    SEALED = "sealed"
    TIGHTENED = "tightened"  # set without the passphrase, and tighter than what is sealed
    FILE = "file"
    LAST_USED = "last used"  # the file cannot be read
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
class FileContent:
    """What ``iotonboard.toml`` says, value by value, and what in it cannot be taken.

    ``is_whole``: it was read to its end, so what it does not name is meant to be default; ``text``: all of it.
    """

    values: Mapping[str, Any]
    problems: tuple[PolicyError, ...] = ()
    is_whole: bool = True
    text: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database says. ``sealed``: ``None`` as long as nothing was ever sealed; a key that lacks is default.

    ``noted`` are values that are not sealed: tighter ones, and those of settings that need no seal, as used last.
    ``problem``: why the newest seal is not believed; ``sealed`` is then the newest one that is, or empty.
    ``slipped_in``: keys of values that are not as the trail says, and so count for nothing.
    """

    sealed: Mapping[str, Any] | None = None
    noted: Mapping[str, Any] | None = None
    problem: PolicyError | None = None
    slipped_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of a state: ``config[key]`` is a value, ``config.settings[key]`` also says where it came from.

    ``standing`` are the values without the environment, and ``overridden`` those that it changes of sealed settings.
    ``differing`` names sealed settings for which the file, the view of them, says something else. ``unnoted`` are
    values of settings without a seal that the database does not know yet.
    """

    settings: Mapping[str, Value]
    standing: Mapping[str, Value]
    file: FileContent
    environment_problems: tuple[PolicyError, ...]
    recorded: Recorded
    overridden: Mapping[str, Any]
    differing: tuple[str, ...]
    unnoted: Mapping[str, Any]

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
    def backdated_to(self) -> datetime | None:
        """When certificates of devices and brokers begin, where that is not now, for machines that wake up in 1970."""
        return parse_moment(self["not_before"]) if self["not_before"] else None

    @property
    def subject_extra(self) -> tuple[tuple[str, str], ...]:
        """Attributes that come before the commonName of every device and broker, with their values."""
        names = ("country", "organization", "organizational_unit")
        return tuple((name, self[f"subject.{name}"]) for name in names if self[f"subject.{name}"])


def of_values(values: Mapping[str, Any]) -> Config:
    """Settings that are thought of, and in force nowhere yet."""
    return resolve(FileContent(values), {}, Recorded())


NO_FILE = FileContent({})


def resolve(file: FileContent, environment: Mapping[str, str], recorded: Recorded) -> Config:
    """Resolve all settings from what each source says."""
    standing = {key: _stands(key, file, recorded) for key in SETTINGS}
    settings, problems = dict(standing), []
    for key in SETTINGS:
        try:
            if found := _from_environment(key, environment):
                settings[key] = found
        except PolicyError as error:
            problems.append(error)
    overridden = {
        key: one.value for key, one in settings.items() if SETTINGS[key].is_sealed and one.value != standing[key].value
    }
    differing = _differing(standing, file) if recorded.sealed is not None and file.is_whole else ()
    unnoted = _unnoted(standing, recorded.noted or {}) if file.is_whole else {}
    return Config(settings, standing, file, tuple(problems), recorded, overridden, differing, unnoted)


def with_checked_profiles(file: FileContent, recorded: Recorded) -> FileContent:
    """The file without profiles that cannot be taken. Those that are sealed already were checked when they were."""
    profiles = file.values.get("profiles")
    if not profiles or profiles == (recorded.sealed or {}).get("profiles"):
        return file
    try:
        profile_problems.refuse_bad_profiles(profiles, file.text)
    except PolicyError as error:
        values = {key: value for key, value in file.values.items() if key != "profiles"}
        return replace(file, values=values, problems=(*file.problems, error))
    return file


def _differing(standing: Mapping[str, Value], file: FileContent) -> tuple[str, ...]:
    says = {key: file.values.get(key, setting.default) for key, setting in SETTINGS.items() if setting.is_sealed}
    return tuple(key for key, value in says.items() if value != standing[key].value)


def _unnoted(standing: Mapping[str, Value], noted: Mapping[str, Any]) -> dict[str, Any]:
    plain = (key for key, setting in SETTINGS.items() if not setting.is_sealed and key != "database_url")
    return {key: standing[key].value for key in plain if standing[key].value != noted.get(key, SETTINGS[key].default)}


def without_environment(settings: Config, problem: PolicyError) -> Config:
    """The settings as they stand, where those of the environment cannot be followed."""
    return replace(
        settings,
        settings=settings.standing,
        overridden={},
        environment_problems=(*settings.environment_problems, problem),
    )


def without_file(settings: Config, problem: PolicyError) -> Config:
    """The settings without those of a file that do not go together; it still names the database."""
    database = {key: value for key, value in settings.file.values.items() if key == "database_url"}
    file = FileContent(database, (*settings.file.problems, problem), is_whole=False)
    standing = resolve(file, {}, settings.recorded)
    return replace(standing, environment_problems=settings.environment_problems)


def at_database(settings: Config, url: str, problem: PolicyError) -> Config:
    """The settings where what names the database, the file or the environment, cannot be followed (``problem``)."""
    value = {"database_url": Value(url, Origin.LAST_USED)}
    is_variable = bool(settings.settings["database_url"].variable)
    found = replace(settings, settings={**settings.settings, **value}, standing={**settings.standing, **value})
    if is_variable:
        return replace(found, environment_problems=(*found.environment_problems, problem))
    file = replace(found.file, problems=(*found.file.problems, problem), is_whole=False)
    return replace(found, file=file, differing=(), unnoted={})


def with_values(settings: Config, values: Mapping[str, Any]) -> Config:
    """The settings with values that were just recorded, which the environment does not change."""
    new = {
        key: Value(value, Origin.SEALED if SETTINGS[key].is_sealed else Origin.FILE) for key, value in values.items()
    }
    return replace(settings, settings={**settings.settings, **new}, standing={**settings.standing, **new})


def _stands(key: str, file: FileContent, recorded: Recorded) -> Value:
    setting, noted = SETTINGS[key], recorded.noted or {}
    if setting.is_sealed and recorded.sealed is not None:
        sealed = recorded.sealed.get(key, setting.default)
        if key in noted and setting.is_tighter(noted[key], sealed):
            return Value(noted[key], Origin.TIGHTENED)
        return Value(sealed, Origin.SEALED if key in recorded.sealed else Origin.DEFAULT)
    if key in file.values:
        return Value(file.values[key], Origin.FILE)
    if file.problems and key in noted:
        return Value(noted[key], Origin.LAST_USED)
    return Value(setting.default, Origin.DEFAULT)


def _from_environment(key: str, environment: Mapping[str, str]) -> Value | None:
    prefixed = ENV_PREFIX + key.upper().replace(".", "_")
    for name in (prefixed, key.upper()):
        if name in environment and (name == prefixed or name in PLAIN_NAMES):
            value = parse_value(key, split_list(key, environment[name]), name)
            if key == "broker.reload" and str(value).startswith("command:"):
                raise PolicyError(
                    f"{name} names a command, and commands are not taken from the environment",
                    hint=f"unset {name}; 'iotonboard config set broker.reload command:...' asks for the passphrase",
                )
            return Value(value, Origin.ENVIRONMENT, name)
    return None


def split_list(key: str, text: str) -> object:
    """A value as it is typed: of a list, the parts between commas."""
    return (text.split(",") if text else []) if key == "acl.topics" else text


def parse_value(key: str, raw: object, source: str) -> Any:
    """Check one value.

    Raises:
        UsageError: there is no such key.
        PolicyError: the value is not allowed for it.
    """
    setting = SETTINGS.get(key)
    if setting is None:
        hint = did_you_mean(key, SETTINGS, "'iotonboard config show' lists all of them")
        raise UsageError(f"there is no setting {key!r}", hint=hint)
    try:
        return setting.parse(raw)
    except ValueError as error:
        if key == "database_url":
            raise _not_ours(source, error) from None
        if key == "profiles":  # a table that is too long to be shown
            raise PolicyError(f"{key} ({source}): {error}", hint="see: iotonboard help profiles") from None
        hint = did_you_mean(str(raw), setting.words, f"{key}: {setting.help}")
        raise PolicyError(f"{key} = {_as_told(raw)} ({source}): {error}", hint=hint) from None


def _as_told(raw: object) -> str:
    """A value as it stands in messages for people: lists and tables without the brackets of the language."""
    if isinstance(raw, dict):
        return ", ".join(f"{name} {_as_told(value)}" for name, value in raw.items())
    if isinstance(raw, list | tuple):
        return ", ".join(map(_as_told, raw))
    if isinstance(raw, str):
        return repr(raw)
    return str(raw).lower() if raw is None or isinstance(raw, bool) else str(raw)


def _not_ours(source: str, error: ValueError) -> PolicyError:
    """Many programs read ``DATABASE_URL``, and theirs may hold a password: it is named, never shown."""
    hint = "database_url: the database; relative to the state directory"
    if source in PLAIN_NAMES:
        hint = f"it may be another program's: unset {source}, or set {ENV_PREFIX}{source} as well"
    return PolicyError(f"the database in {source} cannot be used: it {error}", hint=hint)


def read_text(text: str) -> FileContent:
    """Read ``iotonboard.toml`` into dotted keys with checked values; what cannot be taken is a problem."""
    try:
        tables = tomllib.loads(text.removeprefix("\N{BYTE ORDER MARK}"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = PolicyError(
            f"{FILE_NAME} is not valid TOML: {error}",
            hint="correct that line, or type: iotonboard config write",
        )
        return FileContent(_database_in(text), (problem,), is_whole=False)
    flat: dict[str, object] = {}
    for key, value in tables.items():
        flat.update(
            {f"{key}.{name}": inner for name, inner in value.items()}
            if isinstance(value, dict) and key not in SETTINGS
            else {key: value}
        )
    return _checked(flat, text)


def _database_in(text: str) -> dict[str, Any]:
    """Where the database is, from a file that is broken in another place."""
    found = re.search(r"""^\s*database_url\s*=\s*(["'])(.*?)\1""", text, re.MULTILINE)
    return dict(_checked({"database_url": found[2]}).values) if found else {}


def _checked(flat: Mapping[str, object], text: str = "") -> FileContent:
    values, problems = {}, []
    for key, raw in flat.items():
        try:
            values[key] = parse_value(key, raw, "file")
        except UsageError:
            message = f"{FILE_NAME} names an unknown setting {key!r}"
            hint = did_you_mean(key, SETTINGS, "correct or remove it; 'iotonboard config show' lists them")
            problems.append(PolicyError(message, hint=hint))
        except PolicyError as error:
            problems.append(error)
    return FileContent(values, tuple(problems), text=text)


def resolve_path(root: str, configured: str) -> str:
    """A configured path, taken relative to the state directory ``root``."""
    return os.path.normpath(os.path.join(root, os.path.expanduser(configured)))


def database_path(root: str, url: str) -> str:
    """The file behind ``sqlite:///relative`` or ``sqlite:////absolute``."""
    return resolve_path(root, url.removeprefix("sqlite:///"))
