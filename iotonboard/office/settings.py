"""The few settings of an office: from the environment, its ``iotonboard.toml`` or the default."""

from __future__ import annotations

import json
import os
import re
import tomllib
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "iotonboard.toml"
_LARGEST = 1 << 20
# Key in the file -> default. A path is relative to the office's folder.
SETTINGS: Mapping[str, str] = {
    "archive": "",
    "broker_acl_file": "mosquitto.acl",
    "broker_ca_file": "certs/ca.crt",
    "broker_crl_file": "certs/crl.pem",
    "broker_version": "2.0",
    "database_url": "sqlite:///devices.db",
}
ABOUT: Mapping[str, str] = {
    "archive": "folder for every certificate that is taken; empty: none",
    "broker_acl_file": "where the ACL over all stations is written",
    "broker_ca_file": "where the stations' CAs and their roots are written",
    "broker_crl_file": "where the stations' CRLs are written",
    "broker_version": "the brokers' Mosquitto, 2.0 or 2.1, by which the ACL is written",
    "database_url": "the registry: sqlite:///FILE or postgresql://USER@HOST/NAME",
}
_DATABASE = re.compile(r"""^\s*(database_url)\s*=\s*(["'])(.*?)\2""", re.MULTILINE)
_PLAIN = ("broker_acl_file", "database_url")  # known in the environment without the program's name too


def read_settings(root: str, environment: Mapping[str, str], *, past: bool = False) -> dict[str, str]:
    """Every setting by its key. ``past``: without what of the file cannot be, and of a broken one its database alone.

    Raises:
        PolicyError: the file cannot be read, or names what is no setting of an office.
    """
    return {key: value for key, (value, _) in read_with_sources(root, environment, past=past).items()}


def read_with_sources(root: str, environment: Mapping[str, str], *, past: bool = False) -> dict[str, tuple[str, str]]:
    """As ``read_settings``, each with where it came from: ``default``, ``file`` or the name of a variable."""
    found = {key: (value, "default") for key, value in SETTINGS.items()}
    found |= {key: (value, "file") for key, value in read_settings_file(root, past=past).items()}
    for key in SETTINGS:
        names = [f"IOTONBOARD_{key.upper()}", *([key.upper()] if key in _PLAIN else [])]
        if (name := next(filter(environment.get, names), "")) != "":
            found[key] = (environment[name], name)
    return found


def read_settings_file(root: str, *, past: bool = False) -> dict[str, str]:
    """What the file says; ``past`` and errors as ``read_settings``."""
    path = os.path.join(root, FILE)
    if not os.path.exists(path):
        return {}
    text = ""
    try:
        text = read_file(path, limit=_LARGEST).decode("utf-8", "replace" if past else "strict")
        said = tomllib.loads(text)
    except IotOnboardError:
        if not past:
            raise
        return {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if past:
            return {key: value for key, _, value in _DATABASE.findall(text)}
        raise PolicyError(f"{path!r} cannot be read: {error}", hint="mend the line") from None
    if past:
        return {key: value for key, value in said.items() if key in SETTINGS and isinstance(value, str)}
    for key, value in said.items():
        if key not in SETTINGS or not isinstance(value, str):
            raise PolicyError(f"{key!r} in {path!r} is no setting of an office", hint=f"it has: {', '.join(SETTINGS)}")
    return said


def write_settings_file(root: str, values: Mapping[str, str]) -> None:
    """Write the file anew; a URL in it may hold a password, so it is private.

    Raises:
        BusyError: the disk refuses.
    """
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in sorted(values.items()))  # a basic string of TOML too
    write_atomic(os.path.join(root, FILE), "".join(lines).encode("ascii"), PRIVATE)


def place_of(root: str, value: str) -> str:
    """An absolute path of a setting."""
    return os.path.join(os.path.abspath(root), value)


def registry_url(root: str, url: str) -> str:
    """The URL of the registry, with an absolute path where it names a file."""
    scheme, mark, rest = url.partition(":///")
    return f"{scheme}:///{place_of(root, rest)}" if scheme == "sqlite" and mark else url
