"""``config show``: every setting with its value and where that came from; works without a state. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.config import SETTINGS
from iotonboard.state.state import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting. ``source``: ``default``, ``file`` or the name of a variable."""

    key: str
    value: object
    source: str
    about: str


def show_settings(root: str, environment: Mapping[str, str]) -> list[Shown]:
    """Resolve every setting.

    Raises:
        PolicyError: a value is not allowed.
    """
    settings = load_settings(root, environment)
    return [Shown(key, one.value, one.source, SETTINGS[key].help) for key, one in settings.settings.items()]
