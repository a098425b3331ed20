"""A mosquitto.conf as Mosquitto reads it (``src/conf.c`` of 2.0 and 2.1): listeners and their options.

An option belongs to the listener above it, and before the first ``listener`` line to the default listener, which is
opened only when something was set for it. Those of access belong to all listeners unless ``per_listener_settings``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iotonboard.broker.acl import readable
from iotonboard.broker.conf_model import BrokerConf, Listener, Option, Place, Plugin, Refused
from iotonboard.broker.conf_options import ALIASES, LATER, rule_of, to_number
from iotonboard.broker.conf_whole import contradictions, opens_default
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError

if TYPE_CHECKING:
    from iotonboard.broker.acl import Version
    from iotonboard.broker.conf_options import Rule

_LIMIT = 1 << 20
_DEFAULT_PORT = "1883"
_PLUGINS: Final = {"plugin", "auth_plugin", "global_plugin"}
_PLUGIN_OPTIONS: Final = ("plugin_opt_", "auth_opt_")
_SHORTEST_PLUGIN_OPTION = 3  # characters behind the prefix
_TLS_VERSIONS: Final = {"tlsv1.1", "tlsv1.2", "tlsv1.3"}


@dataclass(slots=True)
class _Draft:
    """A listener while its lines are read; ``access`` and ``plugins`` are its own options of access."""

    port: str
    address: str
    place: Place
    options: dict[str, Option] = field(default_factory=dict)
    access: dict[str, Option] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    is_opened: bool = False


def read_conf(path: str, *, version: Version = "2.0") -> BrokerConf:
    """Read a mosquitto.conf and the files of its ``include_dir``.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: it is no file, or too large.
    """
    reader = _Reader(Place(path, 0), version)
    reader.read(path, read_file(path, limit=_LIMIT), is_main=True)
    return reader.finish()


class _Reader:
    """The state of Mosquitto's own reader between two lines."""

    def __init__(self, place: Place, version: Version) -> None:
        self.version = version
        self.default = _Draft("", "", place)
        self.current = self._at_first()
        self.listeners: list[_Draft] = []
        self.whole: dict[str, Option] = {}
        self.access: dict[str, Option] = {}
        self.plugins: list[Plugin] = []
        self.loaded: dict[str, Plugin] = {}  # 'plugin_load', by name
        self.plugin: Plugin | None = None
        self.bridges: list[tuple[Option, dict[str, Option]]] = []
        self.has_own_access = False
        self.has_access = False
        self.refused: list[Refused] = []
        self.unknown: list[Option] = []

    def _at_first(self) -> _Draft | None:
        """Whose the options are at the top of a file: 2.1 knows no listener there until one needs it."""
        return self.default if self.version == "2.0" else None

    def read(self, path: str, content: bytes, *, is_main: bool) -> None:
        """Read one file; in an included one nothing of what stands above it in the other is known."""
        before, self.current, self.plugin = self.current, self._at_first(), None
        text = readable(content, self.version).decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            option, _, rest = line.partition("\0")[0].rstrip("\r").lstrip(" ").partition(" ")
            if option and not line.startswith("#"):
                self._take(option, rest, Place(path, number), is_main=is_main)
        if not is_main:
            self.current, self.plugin = before, None

    def _take(self, option: str, rest: str, place: Place, *, is_main: bool) -> None:
        if option == "include_dir":
            self._include(rest, place, is_main=is_main)
            return
        if option.startswith(_PLUGIN_OPTIONS):
            self._take_plugin_option(option, rest, place)
            return
        rule = rule_of(option, self.version)
        if rule is None or (option in LATER and self.version == "2.0"):
            self.unknown.append(Option(option, place))
            return
        if reason := rule.objection(rest, self.version):
            self._refuse(place, option, reason)
            return
        found = Option(rule.value(rest), place)
        if option == "listener":
            self._begin_listener(rest, place)
        elif option == "per_listener_settings":
            self._set_own_access(found)
        elif option == "connection":
            self.bridges.append((found, {}))
        elif rule.scope == "plugin" or option in _PLUGINS:
            self._take_plugin(option, found)
        else:
            self._place(option, found, rule)

    def _refuse(self, place: Place, option: str, reason: str) -> None:
        self.refused.append(Refused(place, option, reason))

    def _place(self, option: str, found: Option, rule: Rule) -> None:
        """Keep an option with whom it belongs to."""
        options: dict[str, Option] | None = self.whole
        if rule.scope == "default":
            options = self._default_options(option, found)
        elif rule.scope == "bridge":
            options = self.bridges[-1][1] if self.bridges else None
            if options is None:
                self._refuse(found.place, option, "stands before any 'connection'")
        elif rule.scope == "access":
            owner = self._owner(option, found.place)
            options = owner.access if isinstance(owner, _Draft) else self.access if owner else None
        elif rule.scope == "listener":
            listener = self._listener_for(option, found.place, rule)
            options = None if listener is None else listener.options
            if option == "plugin_use" and listener:
                self._use_plugin(listener, found)
        if options is not None:
            self._keep(options, ALIASES.get(option, option), found, rule)

    def _listener_for(self, option: str, place: Place, rule: Rule) -> _Draft | None:
        if option == "mount_point" and not self.listeners and self.version == "2.0":
            self._refuse(place, option, "stands before any listener")
            return None
        is_missing = self.current is None
        if (is_missing and "behind" in rule.notes) or ("named" in rule.notes and self.current in (None, self.default)):
            self._refuse(place, option, "stands before any listener")
            return None
        if self.current is None:
            self.current = self._open_default(place)
        if option in {"cafile", "certfile"} and "psk_hint" in self.current.options:
            self._refuse(place, option, "stands below psk_hint: a listener has certificates or shared keys")
        return self.current

    def _open_default(self, place: Place) -> _Draft:
        if not self.default.is_opened:
            self.default.place, self.default.is_opened = place, True
        return self.default

    def _default_options(self, option: str, found: Option) -> dict[str, Option]:
        """'port' and 'bind_address' are the default listener's wherever they stand."""
        self.default.place = found.place
        if option == "port":
            self.default.port = str(to_number(found.value, self.version))
        else:
            self.default.address = found.value
        if self.version == "2.1":
            self.current = self._open_default(found.place)
        return self.default.options

    def _owner(self, option: str, place: Place) -> _Draft | bool:
        """Whose an option of access is: a listener, ``True`` for all of them, ``False`` where it is refused."""
        if option == "psk_file" and self.version == "2.1" and self.current and "certfile" in self.current.options:
            self._refuse(place, option, "stands below certfile: a listener has certificates or shared keys")
        if not self.has_own_access:
            self.has_access = True
            return True
        if self.current is None:
            self._refuse(place, option, "stands before any listener")
            return False
        self.has_access = True
        return self.current

    def _take_plugin(self, option: str, found: Option) -> None:
        if option == "auth_plugin_deny_special_chars":
            if self.plugin is None:
                self._refuse(found.place, option, "stands before any plugin")
            return
        name, _, path = found.value.partition(" ") if option == "plugin_load" else ("", "", found.value)
        if not path.strip() or name in self.loaded:
            self._refuse(found.place, option, "is there twice" if name in self.loaded else "names no plugin")
            return
        self.plugin = Plugin(Option(path.strip(), found.place))
        if option == "plugin_load":
            self.loaded[name] = self.plugin
            return
        owner = True if option == "global_plugin" else self._owner(option, found.place)
        self.has_access = True
        if owner:
            (owner.plugins if isinstance(owner, _Draft) else self.plugins).append(self.plugin)

    def _use_plugin(self, listener: _Draft, found: Option) -> None:
        if found.value in self.loaded:
            self.plugin = self.loaded[found.value]
            listener.plugins.append(self.plugin)
        else:
            self._refuse(found.place, "plugin_use", f"there is no plugin_load of {found.value!r} above")

    def _take_plugin_option(self, option: str, rest: str, place: Place) -> None:
        name = option.partition("_opt_")[2]
        if self.plugin is None:
            self._refuse(place, option, "stands before any plugin")
        elif len(name) < _SHORTEST_PLUGIN_OPTION or not rest.strip():
            self._refuse(place, option, "has no value" if rest.strip() == "" else "is too short a name")
        else:
            self.plugin.options[name] = Option(rest.strip(), place)

    def _begin_listener(self, rest: str, place: Place) -> None:
        first, *more = (word for word in rest.split(" ") if word)
        address = more[0] if more and not more[0].startswith("#") else ""
        port = str(to_number(first, self.version))
        if port == "0" and not address:
            self._refuse(place, "listener", f"{first!r} is not a port, and no path of a Unix socket stands behind it")
            return
        self.current = _Draft(port, address, place)
        self.listeners.append(self.current)

    def _set_own_access(self, found: Option) -> None:
        if self.has_own_access and self.version == "2.1":  # which does not go back
            return
        if found.is_true and self.has_access:
            self._refuse(found.place, "per_listener_settings", "stands below an option of access")
        self.has_own_access = found.is_true

    def _keep(self, options: dict[str, Option], option: str, found: Option, rule: Rule) -> None:
        if option in options and not rule.may_be_there_twice(self.version):
            self._refuse(found.place, option, "is there twice")
        if option == "tls_version" and found.value not in _TLS_VERSIONS:
            self._refuse(found.place, option, f"{found.value!r} is not one of {', '.join(sorted(_TLS_VERSIONS))}")
        options[option] = found

    def _include(self, folder: str, place: Place, *, is_main: bool) -> None:
        """``folder`` is taken with all blanks but one; in a file that is included itself, 2.0 passes over the line."""
        if not is_main:
            if self.version == "2.1":
                self._refuse(place, "include_dir", "stands in a file that is included itself")
            return
        try:
            names = [name for name in os.listdir(folder) if name.endswith(".conf") and name != ".conf"]
            for name in sorted(names, key=lambda name: [(one.upper(), one) for one in name]):
                path = os.path.join(folder, name)
                self.read(path, read_file(path, limit=_LIMIT), is_main=False)
        except (OSError, IotOnboardError) as error:
            reason = error.message if isinstance(error, IotOnboardError) else str(error.strerror)
            self._refuse(place, "include_dir", f"{folder!r} cannot be read: {reason}")

    def finish(self) -> BrokerConf:
        """Decide which listeners are opened, and with which options of access."""
        drafts = list(self.listeners)
        is_opened = self.default.is_opened
        if self.version == "2.0":
            default = self.default
            named = default.port or default.address or default.plugins
            is_opened = bool(named) or opens_default(default.options, default.access)
        if is_opened or not drafts:
            self.default.port = self.default.port or _DEFAULT_PORT
            drafts.append(self.default)
        listeners = tuple(
            Listener(
                one.port,
                one.address,
                one.place,
                {**self.access, **one.access, **one.options},
                (*self.plugins, *one.plugins),
            )
            for one in drafts
        )
        self.refused += contradictions(listeners, self.bridges, self.version)
        user = self.whole.get("user")
        user_name = user.value if user else "mosquitto"
        return BrokerConf(listeners, self.has_own_access, user_name, tuple(self.refused), tuple(self.unknown))
