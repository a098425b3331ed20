"""What only the whole of a mosquitto.conf shows: a default listener that is opened, and lines that contradict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotonboard.broker.conf_model import Refused
from iotonboard.broker.conf_options import to_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.broker.acl import Version
    from iotonboard.broker.conf_model import Listener, Option

# What opens the default listener of 2.0, with any value but these: 'tls_version' and the like do not.
_OPENS_DEFAULT: Final = frozenset({
    "bind_interface", "cafile", "capath", "certfile", "keyfile", "tls_engine", "tls_engine_kpass_sha1", "ciphers",
    "ciphers_tls1.3", "dhparamfile", "psk_hint", "crlfile", "mount_point", "socket_domain",
})  # fmt: skip
_OPENS_UNLESS: Final = {"max_connections": -1, "max_qos": 2}
_OPENS_IF_OWN: Final = {"password_file", "psk_file"}
_OF_CLIENTS: Final = {
    "require_certificate", "use_identity_as_username", "use_subject_as_username", "use_username_as_clientid",
}  # fmt: skip


def opens_default(options: Mapping[str, Option], access: Mapping[str, Option]) -> bool:
    """Say whether 2.0 opens the default listener for what was set for it, beside its port, address or plugins."""
    numbers = {name: to_number(options[name].value, "2.0") for name in options.keys() & _OPENS_UNLESS.keys()}
    return bool(
        options.keys() & _OPENS_DEFAULT
        or access.keys() & _OPENS_IF_OWN
        or any(options[name].is_true for name in options.keys() & _OF_CLIENTS)
        or any(number != _OPENS_UNLESS[name] for name, number in numbers.items())
        or ("protocol" in options and options["protocol"].value not in {"", "mqtt"})
        or ("tls_keyform" in options and options["tls_keyform"].value == "engine")
        or ("allow_zero_length_clientid" in access and not access["allow_zero_length_clientid"].is_true)
    )


def contradictions(
    listeners: Sequence[Listener], bridges: Sequence[tuple[Option, Mapping[str, Option]]], version: Version
) -> Iterator[Refused]:
    """What keeps the broker from starting although each line is right by itself."""
    for number, listener in enumerate(listeners):
        if any(_are_at_one_place(listener, other) for other in listeners[:number]):
            yield Refused(listener.place, "listener", f"{listener.port} is there twice")
        if version == "2.1":
            yield from _half_certificates(listener)
    if version == "2.0" and all(one.value("protocol") == "websockets" for one in listeners):
        place = listeners[0].place_of("protocol")
        yield Refused(place, "protocol", "websockets: 2.0 does not start where no listener is of another one")
    for number, (name, options) in enumerate(bridges):
        if any(name.value == other.value for other, _ in bridges[:number]):
            yield Refused(name.place, "connection", f"{name.value!r} is there twice")
        for needed in ("address", "topic"):
            if needed not in options:
                yield Refused(name.place, "connection", f"{name.value!r} has no {needed}")


def _half_certificates(listener: Listener) -> Iterator[Refused]:
    certificate, key = listener.value("certfile"), listener.value("keyfile")
    if bool(certificate) != bool(key):
        option = "certfile" if certificate else "keyfile"
        yield Refused(listener.place_of(option), option, "goes with certfile and keyfile both")
    elif not certificate:
        for option in ("cafile", "capath"):
            if listener.value(option):
                yield Refused(listener.place_of(option), option, "goes with certfile and keyfile")
    if certificate and listener.value("enable_proxy_protocol") == "2":
        place = listener.place_of("enable_proxy_protocol")
        yield Refused(place, "enable_proxy_protocol", "2 goes without certfile and keyfile")


def _are_at_one_place(one: Listener, other: Listener) -> bool:
    """Say whether two listeners want the same port of the same address; all addresses are among them."""
    if one.port != other.port or one.value("bind_interface") != other.value("bind_interface"):
        return False
    return one.address == other.address or (one.port != "0" and "" in {one.address, other.address})
