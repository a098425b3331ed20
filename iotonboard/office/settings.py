"""The few settings of an office: from the environment, its ``iotonboard.toml`` or the default."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "iotonboard.toml"
_LARGEST = 1 << 20
# Key in the file -> default. A path is relative to the office's folder.
SETTINGS: Mapping[str, str] = {
    "archive": "",  # folder for every certificate that is taken; empty: none
    "broker_acl_file": "mosquitto.acl",
    "broker_ca_file": "certs/ca.crt",
    "broker_crl_file": "certs/crl.pem",
    "broker_version": "2.0",
    "database_url": "sqlite:///devices.db",
}
_PLAIN = ("broker_acl_file", "database_url")  # known in the environment without the program's name too


def read_settings(root: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Every setting by its key.

    Raises:
        PolicyError: the file cannot be read, or names what is no setting of an office.
    """
    path, said = os.path.join(root, FILE), {}
    if os.path.exists(path):
        try:
            said = tomllib.loads(read_file(path, limit=_LARGEST).decode("utf-8"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PolicyError(f"{path!r} cannot be read: {error}", hint="mend the line") from None
    for key, value in said.items():
        if key not in SETTINGS or not isinstance(value, str):
            raise PolicyError(f"{key!r} in {path!r} is no setting of an office", hint=f"it has: {', '.join(SETTINGS)}")
    values = {**SETTINGS, **said}
    for key in SETTINGS:
        names = [f"IOTONBOARD_{key.upper()}", *([key.upper()] if key in _PLAIN else [])]
        given = next((environment[name] for name in names if environment.get(name)), None)
        values[key] = values[key] if given is None else given
    return values


def place_of(root: str, value: str) -> str:
    """An absolute path of a setting."""
    return os.path.join(os.path.abspath(root), value)


def registry_url(root: str, url: str) -> str:
    """The URL of the registry, with an absolute path where it names a file."""
    scheme, mark, rest = url.partition(":///")
    return f"{scheme}:///{place_of(root, rest)}" if scheme == "sqlite" and mark else url
