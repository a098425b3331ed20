"""What a mosquitto.conf enforces: for each listener certificate, CRL and ACL, and what is missing for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.broker.conf_options import LATER
from iotonboard.broker.problems import DOES_NOT_START, Problem
from iotonboard.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotonboard.broker.acl import Version
    from iotonboard.broker.conf_model import BrokerConf, Listener, Place, Plugin

_CERTIFICATE: Final = {
    "require_certificate": "clients without a certificate get in",
    "use_identity_as_username": "the user name is what the client says, not what its certificate says",
    "use_username_as_clientid": "a device can take another one's connection by its client id",
}
_ACL_PLUGIN = "mosquitto_acl_file"


@dataclass(frozen=True, slots=True)
class ListenerVerdict:
    """What one listener enforces. ``port`` is "0" for a Unix socket."""

    port: str
    address: str
    protocol: str
    enforces_certificate: bool
    enforces_crl: bool
    enforces_acl: bool


@dataclass(frozen=True, slots=True)
class ConfVerdict:
    """What each listener enforces, and why one does not."""

    listeners: tuple[ListenerVerdict, ...]
    problems: tuple[Problem, ...]


def judge_conf(conf: BrokerConf, version: Version) -> ConfVerdict:
    """Say what a configuration enforces."""
    problems = [
        Problem(one.place.path, "conf-refused", f"{where(one.place)}{one.option} {one.reason}", DOES_NOT_START)
        for one in conf.refused
    ]
    for one in conf.unknown:
        what = f"{where(one.place)}{quoted(one.value)} is not an option of Mosquitto {version}"
        if one.value in LATER:
            what = f"{where(one.place)}{one.value!r} is an option of the last releases of Mosquitto {version} only"
        at_start = "" if one.value in LATER else DOES_NOT_START
        problems.append(Problem(one.place.path, "conf-unknown-option", what, at_start, warning=one.value in LATER))
    if version == "2.1" and conf.has_own_access:
        message = "per_listener_settings is deprecated in 2.1 and told at every start"
        problems.append(Problem(conf.listeners[0].place.path, "conf-deprecated", message, warning=True))
    verdicts = []
    for listener in conf.listeners:
        found = list(_problems(listener, version))
        kinds = {kind for kind, _, _ in found}
        name = listener_name(listener)
        problems += [_problem(listener.place_of(option), name, option, reason) for _, option, reason in found]
        verdicts.append(
            ListenerVerdict(
                listener.port,
                listener.address,
                listener.value("protocol", "mqtt"),
                "certificate" not in kinds,
                "crl" not in kinds and "certificate" not in kinds,
                "acl" not in kinds,
            )
        )
    return ConfVerdict(tuple(verdicts), tuple(problems))


def acl_path(listener: Listener) -> str:
    """The ACL file of a listener; empty without one."""
    named = [one.options["acl_file"].value for one in listener.plugins if _is_acl(one) and "acl_file" in one.options]
    return listener.value("acl_file") or next(iter(named), "")


def _is_acl(plugin: Plugin) -> bool:
    """Say whether a plugin is Mosquitto's own reader of an ACL file."""
    return _ACL_PLUGIN in os.path.basename(plugin.path.value)


# Options that take away what a certificate is to prove: what it must not be, and why.
_SPOILING: Final = {
    "use_subject_as_username": "the ACL knows devices by common name",
    "disable_client_cert_date_checks": "expired devices are admitted",
    "allow_anonymous": "clients without a name get in",
    "listener_allow_anonymous": "clients without a name get in",
}


def _problems(listener: Listener, version: Version) -> Iterator[tuple[str, str, str]]:
    """What a listener does not enforce (certificate, crl, acl, or nothing), the option, and the reason."""
    if listener.port == "0":
        yield "certificate", "listener", "is a Unix socket: its clients show no certificate"
    for option, reason in _CERTIFICATE.items():
        if not listener.is_on(option):
            yield "certificate", option, reason
    for option, reason in _SPOILING.items():
        is_overruled = option == "allow_anonymous" and "listener_allow_anonymous" in listener.options
        if listener.is_on(option) and not is_overruled:
            yield "certificate", option, reason
    if listener.value("psk_hint"):
        yield "certificate", "psk_hint", "clients come in with a shared key instead of a certificate"
    yield from _file_problems(listener, version)
    yield from _access_problems(listener)


def _file_problems(listener: Listener, version: Version) -> Iterator[tuple[str, str, str]]:
    for option in ("certfile", "keyfile"):
        if not listener.value(option):
            yield "certificate", option, "is not set: nothing is encrypted, and no certificate asked for"
    if not listener.value("cafile"):
        is_folder = bool(listener.value("capath"))
        reason = "is not set: 'capath' is a folder that this program does not write" if is_folder else "is not set"
        yield "certificate", "cafile", reason
    if listener.value("tls_version", "tlsv1.2") not in {"tlsv1.2", "tlsv1.3"}:
        yield "", "tls_version", "is older than TLS 1.2"
    if not listener.value("crlfile"):
        yield "crl", "crlfile", "is not set: revoked devices are admitted"
    elif listener.value("protocol") == "websockets" and version == "2.0":
        yield "crl", "protocol", "a websockets listener of 2.0 ignores crlfile: revoked devices are admitted"


def _access_problems(listener: Listener) -> Iterator[tuple[str, str, str]]:
    if not acl_path(listener):
        yield "acl", "acl_file", "no ACL is in force: every client may do everything"
    if listener.value("mount_point"):
        yield "acl", "mount_point", "the ACL's topics are matched with the mount point in front of them"
    if any(not _is_acl(one) for one in listener.plugins):
        yield "acl", "plugin", "decides about clients and messages too, and is not judged here"


def _problem(place: Place, name: str, option: str, reason: str) -> Problem:
    return Problem(place.path, "conf-not-enforced", f"{where(place)}{name}: {option}: {reason}", reason, reason)


def listener_name(listener: Listener) -> str:
    """What people call a listener."""
    if listener.port == "0":
        return f"listener {listener.address}"
    return f"listener {listener.port}" + (f" {listener.address}" if listener.address else "")


def where(place: Place) -> str:
    """The line that a problem is about, in front of it."""
    return f"line {place.line}: " if place.line else ""
