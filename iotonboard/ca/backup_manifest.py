"""What a backup says about itself: every file with size and digest, and what the database in it holds."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from iotonboard.ca.backup_seal import ANOTHER_COPY, SEALED
from iotonboard.errors import PolicyError
from iotonboard.store import audit
from iotonboard.store.crls import crl_generation
from iotonboard.store.devices import count_devices
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.store.store import Store

MANIFEST: Final = "backup.json"
DATABASE: Final = "devices.db"
CONFIG: Final = "iotonboard.toml"
ACL: Final = "mosquitto.acl"
BROKER_FILES: Final = ("mosquitto.conf", "broker-plain.key")  # of a broker's folder; the database has the others
_CA_KEY = re.compile(r"ca[A-Za-z0-9.-]{0,80}\.key")
_BROKER_FILE = re.compile(rf"brokers/(?!\.{{1,2}}/)[A-Za-z0-9._-]{{1,255}}/({'|'.join(map(re.escape, BROKER_FILES))})")
_OF_ADDED = re.compile(r"cas/([a-z0-9][a-z0-9-]{0,31})/(devices\.db|ca[A-Za-z0-9.-]{0,80}\.key)")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a backup: its size in octets, and its SHA-256 as hexadecimal; empty in one of format 1."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds. ``cas`` are the fingerprints of its CAs, the one that issues first.

    ``audit_head`` is the head of its trail as people write it down. Format 1 names neither.
    """

    devices: int
    crl_number: int
    audit_seq: int
    keys: tuple[str, ...]
    cas: tuple[str, ...]
    audit_head: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself, be it so or not."""

    version: str
    contents: Contents
    files: tuple[StoredFile, ...]

    def to_json(self) -> bytes:
        """Write it as it is stored."""
        values = {"schema": SEALED, "version": self.version, **asdict(self.contents)}
        return json.dumps({**values, "files": [asdict(one) for one in self.files]}).encode("ascii")


def contents_of(store: Store) -> Contents:
    """Read what a database holds."""
    crls, issuers = crl_generation(store, with_der=False), current_issuers(store)
    number = max((row.number for row in crls if row.issuer == crls[0].issuer), default=0)
    keys, cas = tuple(row.key_file for row in issuers), tuple(row.fingerprint for row in issuers)
    head = audit.head(store)
    return Contents(count_devices(store), number, head.seq, keys, cas, audit.printable_head(head))


def is_ca_key(name: str) -> bool:
    """Say whether a file of a backup is a CA's key."""
    return _CA_KEY.fullmatch(name) is not None


def is_broker_file(name: str) -> bool:
    """Say whether a file of a backup belongs into a broker's folder."""
    return _BROKER_FILE.fullmatch(name) is not None


def added_file(name: str, file: str) -> str:
    """What a file of a CA that was added to the state is called in a backup."""
    return f"cas/{name}/{file}"


def parts_of_added(names: Iterable[str]) -> dict[str, list[str]]:
    """The files of each added CA in a backup, by its name."""
    found: dict[str, list[str]] = {}
    for match in filter(None, map(_OF_ADDED.fullmatch, sorted(names))):
        found.setdefault(match[1], []).append(match[2])
    return {name: files for name, files in found.items() if DATABASE in files}


def is_key_of_added(name: str) -> bool:
    """Say whether a file of a backup is the key of an added CA."""
    match = _OF_ADDED.fullmatch(name)
    return match is not None and match[2] != DATABASE


def refuse_other_files(names: Sequence[str]) -> None:
    """Refuse names that no backup has, or has twice.

    Raises:
        PolicyError: there is one, or the database or every key is missing.
    """
    others = [name for name in names if not (is_ca_key(name) or is_broker_file(name) or _OF_ADDED.fullmatch(name))]
    unknown = set(others) - {MANIFEST, DATABASE, CONFIG, ACL}
    if unknown or len(set(names)) != len(names):
        raise PolicyError("the backup holds files that do not belong there", hint=ANOTHER_COPY)
    if DATABASE not in names or not any(map(is_ca_key, names)):
        raise PolicyError("the backup lacks the database or the CA key", hint=ANOTHER_COPY)


def parse_manifest(content: bytes, format: int, entries: Sequence[tuple[str, int]]) -> Manifest:  # noqa: A002
    """Read a manifest, and hold it against name and size of every entry behind it, in order.

    Raises:
        PolicyError: it cannot be read, or is of other files.
    """
    try:
        values = json.loads(content)
        found = Manifest(str(values["version"]), _contents(values, format), _files(values, format, entries))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PolicyError("the backup's manifest cannot be read", hint=ANOTHER_COPY) from error
    keys = tuple(name for name, _ in entries if is_ca_key(name))
    if values["schema"] != format or sorted(keys) != sorted(found.contents.keys):
        raise PolicyError("the backup's manifest is not of these files", hint=ANOTHER_COPY)
    if [(one.name, one.size) for one in found.files] != list(entries):
        raise PolicyError("the backup's manifest is not of these files", hint=ANOTHER_COPY)
    return found


def _contents(values: Any, format: int) -> Contents:  # noqa: A002
    if not _VERSION.fullmatch(values["version"]):
        raise ValueError("no version")
    devices, crl_number, audit_seq = (_number(values[name]) for name in ("devices", "crl_number", "audit_seq"))
    cas, head = (_texts(values["cas"]), str(values["audit_head"])) if format == SEALED else ((), "")
    return Contents(devices, crl_number, audit_seq, _texts(values["keys"]), cas, head)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("no list of texts")
    return tuple(values)


def _files(values: Any, format: int, entries: Sequence[tuple[str, int]]) -> tuple[StoredFile, ...]:  # noqa: A002
    if format != SEALED:
        return tuple(StoredFile(name, size, "") for name, size in entries)
    files = tuple(StoredFile(one["name"], one["size"], one["sha256"]) for one in values["files"])
    if not all(_DIGEST.fullmatch(one.sha256) for one in files):
        raise ValueError("no digest")
    return files


def refuse_other_contents(manifest: Manifest, store: Store) -> None:
    """Refuse a backup that says something else than its database.

    Raises:
        PolicyError: names what.
    """
    said, found = asdict(manifest.contents), asdict(contents_of(store))
    if not said["audit_head"]:  # format 1
        del said["cas"], said["audit_head"]
    for name, value in said.items():
        if found[name] != value:
            raise PolicyError(
                f"the backup says {name} = {value!r} of itself, and its database {found[name]!r}", hint=ANOTHER_COPY
            )
