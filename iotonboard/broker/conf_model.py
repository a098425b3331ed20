"""What a mosquitto.conf says, line by line and listener by listener."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iotonboard.broker.conf_options import TRUE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Option:
    """An option's value as text and where it stands."""

    value: str
    place: Place

    @property
    def is_true(self) -> bool:
        """Say whether a boolean option is on."""
        return TRUE.get(self.value, False)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin and what it is told."""

    path: Option
    options: dict[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener: ``port`` is "0" for a Unix socket, whose path is then the ``address``."""

    port: str
    address: str
    place: Place
    options: Mapping[str, Option]
    plugins: tuple[Plugin, ...] = ()

    def value(self, option: str, default: str = "") -> str:
        """An option's value."""
        found = self.options.get(option)
        return found.value if found else default

    def is_on(self, option: str) -> bool:
        """Say whether a boolean option is on."""
        found = self.options.get(option)
        return found is not None and found.is_true

    def place_of(self, option: str) -> Place:
        """Where an option stands; the ``listener`` line for one that is not set."""
        found = self.options.get(option)
        return found.place if found else self.place


@dataclass(frozen=True, slots=True)
class Refused:
    """A line at which the broker does not start."""

    place: Place
    option: str
    reason: str


@dataclass(frozen=True, slots=True)
class BrokerConf:
    """A whole configuration. ``listeners`` hold the options of access that rule them, whether their own or global."""

    listeners: tuple[Listener, ...]
    has_own_access: bool
    user: str
    refused: tuple[Refused, ...]
    unknown: tuple[Option, ...]
