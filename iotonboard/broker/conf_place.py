"""Where the configuration for a broker's folder belongs: into it, or where Debian's Mosquitto includes it from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONF_NAME = "mosquitto.conf"
_INCLUDED = os.path.join("conf.d", "iotonboard.conf")
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfPlace:
    """``path`` is the file to write, ``main`` the one that the broker is started with.

    ``pid_path`` is where the broker writes its process number; it, and the ``user``, are what ``main`` says, if that is
    another one.
    """

    path: str
    main: str
    pid_path: str = ""
    user: str = ""

    @property
    def is_included(self) -> bool:
        """Say whether another file includes it."""
        return self.path != self.main

    @property
    def start(self) -> str:
        """What starts the broker with it."""
        return "systemctl restart mosquitto" if self.is_included else f"mosquitto -c {self.main}"


def conf_place(folder: str) -> ConfPlace:
    """Where the configuration of a folder with a broker's files belongs.

    Beside the folder, as /etc/mosquitto on Debian has it: a mosquitto.conf that includes all of its conf.d. Else into
    the folder itself.
    """
    parent = os.path.dirname(folder)
    main = os.path.join(parent, CONF_NAME)
    options = list(_options(main))
    included = os.path.join(parent, os.path.dirname(_INCLUDED))
    if any(name == "include_dir" and os.path.realpath(value) == os.path.realpath(included) for name, value in options):
        said = dict(options)
        return ConfPlace(os.path.join(parent, _INCLUDED), main, said.get("pid_file", ""), said.get("user", ""))
    return own_place(folder)


def own_place(folder: str) -> ConfPlace:
    """The configuration in the folder itself."""
    own = os.path.join(folder, CONF_NAME)
    return ConfPlace(own, own)


def _options(path: str) -> Iterator[tuple[str, str]]:
    """The options of one file, as ``conf_reader`` reads lines; none of one that cannot be read."""
    try:
        content = read_file(path, limit=_LIMIT)
    except IotOnboardError:
        return
    for line in content.decode("utf-8", "replace").splitlines():
        if found := re.fullmatch(r" *([a-z_]+) +(\S.*?) *", line):
            yield found[1], found[2]
