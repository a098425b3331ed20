"""A mosquitto.conf as Mosquitto reads it (``src/conf.c`` of 2.0 and 2.1): listeners and their options.

An option belongs to the listener above it, and before the first ``listener`` line to the default listener, which is
opened only when something was set for it. Those of access belong to all listeners unless ``per_listener_settings``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iotonboard.errors import IotOnboardError
from iotonboard.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.broker.acl import Version

_LIMIT = 1 << 20
_DEFAULT_PORT = "1883"
_TRUE: Final = {"true": True, "1": True, "false": False, "0": False}
_BOOLEANS: Final = frozenset({
    "allow_anonymous", "listener_allow_anonymous", "per_listener_settings", "require_certificate",
    "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid",
    "disable_client_cert_date_checks",
})  # fmt: skip
_ACCESS: Final = frozenset({"acl_file", "allow_anonymous", "password_file", "psk_file", "plugin", "auth_plugin"})
_OF_A_LISTENER: Final = frozenset({
    "cafile", "capath", "certfile", "keyfile", "crlfile", "tls_version", "psk_hint", "require_certificate",
    "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid", "protocol", "mount_point",
    "listener_allow_anonymous", "disable_client_cert_date_checks", "bind_interface", "socket_domain", "ciphers",
    "dhparamfile", "max_connections", "max_qos", "maximum_qos",
})  # fmt: skip
_STRINGS: Final = frozenset(
    {"acl_file", "cafile", "capath", "certfile", "keyfile", "crlfile", "mount_point", "psk_hint"}
)
# What opens the default listener beside the others: everything of a listener's but these.
_LEAVES_DEFAULT_CLOSED: Final = frozenset({"bind_interface", "listener_allow_anonymous"})
_OTHERS: Final = frozenset(re.findall("[a-z_0-9]+", """
    address addresses allow_duplicate_messages allow_zero_length_clientid auth_plugin_deny_special_chars auto_id_prefix
    autosave_interval autosave_on_changes bridge_alpn bridge_attempt_unsubscribe bridge_bind_address bridge_cafile
    bridge_capath bridge_certfile bridge_identity bridge_insecure bridge_keyfile bridge_max_packet_size
    bridge_max_topic_alias bridge_outgoing_retain bridge_protocol_version bridge_psk bridge_receive_maximum
    bridge_reload_type bridge_require_ocsp bridge_session_expiry_interval bridge_tcp_keepalive bridge_tcp_user_timeout
    bridge_tls_version check_retain_source cleansession clientid clientid_prefixes connection
    connection_messages http_dir idle_timeout keepalive_interval local_cleansession local_clientid local_password
    local_username log_dest log_facility log_timestamp log_timestamp_format log_type max_inflight_bytes
    max_inflight_messages max_keepalive max_packet_size max_queued_bytes max_queued_messages max_topic_alias
    max_topic_alias_broker memory_limit message_size_limit notification_topic notifications notifications_local_only
    password persistence persistence_file persistence_location persistent_client_expiration pid_file
    queue_qos0_messages remote_clientid remote_password remote_username restart_timeout retain_available
    retained_persistence retry_interval round_robin set_tcp_nodelay start_type store_clean_interval sys_interval
    threshold tls_engine tls_engine_kpass_sha1 tls_keyform topic trace_level try_private upgrade_outgoing_qos user
    username websockets_headers_size websockets_log_level websockets_origin ffdc_output max_log_entries
""")) | {"ciphers_tls1.3"}  # fmt: skip


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
        return _TRUE.get(self.value, False)


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener: ``port`` is "0" for a Unix socket, whose path is then the ``address``."""

    port: str
    address: str
    place: Place
    options: Mapping[str, Option]

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


@dataclass(slots=True)
class _Draft:
    """A listener while its lines are read; ``access`` are its own options of access."""

    port: str
    address: str
    place: Place
    options: dict[str, Option] = field(default_factory=dict)
    access: dict[str, Option] = field(default_factory=dict)


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
        self.current = self.default
        self.listeners: list[_Draft] = []
        self.access: dict[str, Option] = {}
        self.has_own_access = False
        self.user = "mosquitto"
        self.refused: list[Refused] = []
        self.unknown: list[Option] = []

    def read(self, path: str, content: bytes, *, is_main: bool) -> None:
        """Read one file; an included one begins at the default listener again."""
        before, self.current = self.current, self.default
        for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
            if not line or line[0] in "#\r":
                continue
            option, _, rest = line.rstrip("\r\n").lstrip(" ").partition(" ")
            if option:
                self._take(option, rest, Place(path, number), is_main=is_main)
        self.current = before if not is_main else self.current

    def _take(self, option: str, rest: str, place: Place, *, is_main: bool) -> None:
        words = rest.split(" ")
        value = next((word for word in words if word), "") if option in _BOOLEANS else rest.strip()
        if option in _BOOLEANS and value not in _TRUE:
            self.refused.append(Refused(place, option, f"{value!r} is neither true nor false"))
        elif option == "listener":
            self._begin_listener(rest, place)
        elif option == "include_dir":
            if is_main:
                self._include(value, place)
        elif option == "per_listener_settings":
            self._set_own_access(place, is_on=_TRUE[value])
        elif option in {"port", "bind_address", "user"}:
            self._set_default(option, value, place)
        elif option not in _OTHERS:
            self._keep_option(option, Option(value, place))

    def _set_default(self, option: str, value: str, place: Place) -> None:
        """What belongs to the whole broker, or to the default listener wherever it stands."""
        if option == "user":
            self.user = value
            return
        self.default.place = place
        if option == "port":
            self.default.port = value
        else:
            self.default.address = value

    def _keep_option(self, option: str, found: Option) -> None:
        if option in _ACCESS or option.startswith(("plugin_opt_", "auth_opt_", "global_plugin")):
            is_own = self.has_own_access and not option.startswith("global_")
            self._keep(self.current.access if is_own else self.access, option, found)
        elif option in _OF_A_LISTENER:
            self._keep(self.current.options, option, found)
        else:
            self.unknown.append(Option(option, found.place))

    def _begin_listener(self, rest: str, place: Place) -> None:
        port, *more = [word for word in rest.split(" ") if word] or [""]
        number = re.match("[0-9]+", port)  # atoi: what stands behind the digits does not count
        if number is None or int(number[0]) > 65535:
            self.refused.append(Refused(place, "listener", f"{port!r} is not a port"))
            return
        address = more[0] if more and not more[0].startswith("#") else ""
        self.current = _Draft(str(int(number[0])), address, place)
        self.listeners.append(self.current)

    def _set_own_access(self, place: Place, *, is_on: bool) -> None:
        if is_on and (self.access or self.current.access):
            self.refused.append(Refused(place, "per_listener_settings", "stands below an option of access"))
        self.has_own_access = is_on

    def _keep(self, options: dict[str, Option], option: str, found: Option) -> None:
        if option in _STRINGS:
            if not found.value:
                self.refused.append(Refused(found.place, option, "has no value"))
            if option in options:
                self.refused.append(Refused(found.place, option, "is there twice"))
        options[option] = found

    def _include(self, folder: str, place: Place) -> None:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".conf"))
            for name in names:
                path = os.path.join(folder, name)
                self.read(path, read_file(path, limit=_LIMIT), is_main=False)
        except (OSError, IotOnboardError) as error:
            reason = error.message if isinstance(error, IotOnboardError) else str(error.strerror)
            self.refused.append(Refused(place, "include_dir", f"{folder!r} cannot be read: {reason}"))

    def finish(self) -> BrokerConf:
        """Decide which listeners are opened, and with which options of access."""
        drafts = list(self.listeners)
        opens_default = self.default.port or self.default.address or set(self.default.options) - _LEAVES_DEFAULT_CLOSED
        if opens_default or not drafts:
            self.default.port = self.default.port or _DEFAULT_PORT
            drafts.append(self.default)
        listeners = tuple(
            Listener(one.port, one.address, one.place, {**self.access, **one.access, **one.options}) for one in drafts
        )
        return BrokerConf(listeners, self.has_own_access, self.user, tuple(self.refused), tuple(self.unknown))
