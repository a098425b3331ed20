"""``config show``: every setting with its value and where that came from; works without a state. Nothing is changed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.state.layout import resolve_paths
from iotonboard.state.recorded_settings import load_settings, settings_of
from iotonboard.state.setting_table import SETTINGS
from iotonboard.state.state import is_initialised
from iotonboard.store.settings import knows_settings
from iotonboard.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.state.config import Config


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting. ``source``: an origin of ``config.Origin``, or the name of a variable.

    ``in_file`` is what the file says instead, where it differs from what is sealed.
    """

    key: str
    value: object
    source: str
    about: str
    in_file: object | None


def show_settings(root: str, environment: Mapping[str, str]) -> tuple[list[Shown], Config]:
    """Resolve every setting; the second value knows what is wrong with their sources.

    Raises:
        PolicyError: the environment would use one file for two things.
        BusyError: the database cannot be read.
    """
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    if is_initialised(paths):
        with closing(Store.open_to_look(paths.database, timeout_s=settings["busy_timeout_seconds"])) as store:
            if knows_settings(store):
                settings = settings_of(store, root, environment, None)
    says = {key: settings.file.values.get(key, SETTINGS[key].default) for key in settings.differing}
    shown = [
        Shown(key, one.value, one.source, SETTINGS[key].help, says.get(key)) for key, one in settings.settings.items()
    ]
    return shown, settings
