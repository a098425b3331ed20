"""mosquitto.conf: one that lets in only devices with a valid certificate, and a reader that checks one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from iotonboard.errors import PolicyError

_CONF = """\
# Mosquitto for {host}, written by iotonboard. Only clients with a certificate of the CA below get in,
# under the name in their certificate, with the rights that the ACL gives to that name.
#
# After a new CRL or ACL: replace the file by renaming a complete one over it, readable by the broker's
# user, then send SIGHUP ('systemctl reload mosquitto'). The broker re-reads the two files then and at no
# other time. Certificates, keys and this file need a restart.
#
# What fails open in Mosquitto 2.0, at SIGHUP:
# - an ACL that is missing, unreadable or has one wrong line lets every client do everything;
# - a CRL that is missing, empty, cut short or unreadable admits revoked devices;
# - a revoked device that is connected stays connected; only the ACL silences it.
# At a start each of them keeps the broker from starting. Do not send SIGHUP while it starts: it dies.
# A CRL past its nextUpdate refuses every device.

# One ACL for all listeners: a listener added later is not open by accident.
per_listener_settings false
allow_anonymous false
acl_file {acl_path}

# Sessions and retained messages live in memory; set persistence_location too before you turn this on.
persistence false
{pid_file}
listener {port}{bind_address}
cafile {ca_path}
certfile {cert_path}
keyfile {key_path}
crlfile {crl_path}
tls_version tlsv1.2
require_certificate true
# The common name is the user name, and the user name is the client id: no device can take another's place.
use_identity_as_username true
use_username_as_clientid true
"""

_TLS_FILES = ("certfile", "keyfile", "crlfile")
_MUST_BE_TRUE = {
    "require_certificate": "clients without a certificate get in",
    "use_identity_as_username": "the user name is what the client says, not what its certificate says",
    "use_username_as_clientid": "a device can take another one's connection by its client id",
}


@dataclass(frozen=True, slots=True)
class ConfProblem:
    """One thing that a mosquitto.conf does not enforce. ``line`` is 0 for a line that is missing."""

    line: int
    option: str
    reason: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.option}: {self.reason}"


class _Section:
    """The options before the first listener, or of one listener; the last of equal ones counts."""

    def __init__(self, line: int = 0, listener: str = "") -> None:
        self.line = line
        self.listener = listener
        self.options: dict[str, tuple[int, str]] = {}

    def value(self, option: str, default: str = "") -> str:
        return self.options.get(option, (0, default))[1]

    def line_of(self, option: str) -> int:
        return self.options.get(option, (self.line, ""))[0]


def render_conf(  # noqa: PLR0913 - one argument per line of the file
    *,
    host: str,
    ca_path: str,
    cert_path: str,
    key_path: str,
    crl_path: str,
    acl_path: str,
    port: int = 8883,
    bind_address: str = "",
    pid_path: str = "",
) -> str:
    """Write a complete ``mosquitto.conf`` for one listener. Paths are those on the broker's machine.

    Args:
        host: the name in the broker's certificate; stands in a comment only.
        ca_path: the root and every issuing CA.
        cert_path: the broker's certificate.
        key_path: the broker's private key, not encrypted: the broker asks nobody for a passphrase.
        crl_path: one CRL per issuing CA.
        acl_path: the ACL.
        port: where to listen.
        bind_address: address or name to listen on; empty listens on all.
        pid_path: where the broker writes its process id; empty leaves it out.

    Raises:
        PolicyError: a value that would not stay on its line or would be read as another one.
    """
    given = {
        "host": host,
        "ca_path": ca_path,
        "cert_path": cert_path,
        "key_path": key_path,
        "crl_path": crl_path,
        "acl_path": acl_path,
        "bind_address": bind_address,
        "pid_path": pid_path,
    }
    for name, value in given.items():
        _check_value(name, value, optional=name in {"bind_address", "pid_path"})
    if " " in bind_address:
        raise PolicyError(f"{bind_address[:80]!r} is not an address to listen on", hint="give one name or address")
    if not 0 < port < 65536:
        raise PolicyError(f"{port} is not a port", hint="use a number from 1 to 65535; MQTT over TLS has 8883")
    lines = {
        "pid_file": f"pid_file {pid_path}\n" if pid_path else "",
        "bind_address": f" {bind_address}" if bind_address else "",
    }
    return _CONF.format(port=port, **{**given, **lines})


def check_conf(text: str | bytes) -> list[ConfProblem]:
    """Say what a ``mosquitto.conf`` fails to enforce; an empty list means that it enforces all of it.

    Every listener must ask for a certificate of the CA, check the CRL and take name and client id from the
    certificate; nobody may connect without a name; an ACL must be in force. What an ``include_dir`` holds is
    not seen, which is a problem of its own.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    main, *listeners = _sections(text)
    problems = []
    if "include_dir" in main.options:
        reason = "the files in it may change what this file says; check them too"
        problems.append(ConfProblem(main.line_of("include_dir"), "include_dir", reason))
    if not listeners:
        problems.append(ConfProblem(0, "listener", "there is none"))
    own_settings = main.value("per_listener_settings") == "true"
    for section in listeners if own_settings else [main]:
        problems += _access_problems(section)
    for listener in listeners:
        problems += _listener_problems(listener)
    return problems


def _sections(text: str) -> list[_Section]:
    """Cut into global options and listeners: an option belongs to the listener above it."""
    sections = [_Section()]
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        option, _, value = line.rstrip().lstrip(" ").partition(" ")
        if option == "listener":
            sections.append(_Section(number, value.strip()))
        elif option in {"port", "bind_address"}:
            if not sections[0].listener:
                sections[0].listener = "default"
                sections.insert(1, _Section(number, value.strip()))
        elif option:
            is_global = option in {"per_listener_settings", "include_dir", "persistence", "pid_file"}
            section = sections[0] if is_global else sections[-1]
            section.options[option] = (number, value.strip())
            if not is_global:
                _share(sections, option, number, value.strip())
    return sections


def _share(sections: list[_Section], option: str, number: int, value: str) -> None:
    """Without per-listener settings the options of access are global wherever they stand."""
    if option in {"allow_anonymous", "acl_file", "plugin", "plugin_opt_acl_file"} and (
        sections[0].value("per_listener_settings") != "true"
    ):
        sections[0].options[option] = (number, value)


def _access_problems(section: _Section) -> list[ConfProblem]:
    problems = []
    if section.value("allow_anonymous", "false") != "false":
        reason = "clients without a name get in"
        problems.append(ConfProblem(section.line_of("allow_anonymous"), "allow_anonymous", reason))
    if not section.value("acl_file") and not section.value("plugin_opt_acl_file"):
        problems.append(ConfProblem(section.line, "acl_file", "no ACL is in force: every client may do everything"))
    return problems


def _listener_problems(listener: _Section) -> list[ConfProblem]:
    problems = [
        ConfProblem(listener.line_of(option), option, reason)
        for option, reason in _MUST_BE_TRUE.items()
        if listener.value(option) != "true"
    ]
    problems += [
        ConfProblem(listener.line, option, "is not set for this listener")
        for option in _TLS_FILES
        if not listener.value(option)
    ]
    if not listener.value("cafile") and not listener.value("capath"):
        problems.append(ConfProblem(listener.line, "cafile", "is not set for this listener"))
    if listener.value("use_subject_as_username") == "true":
        line = listener.line_of("use_subject_as_username")
        problems.append(ConfProblem(line, "use_subject_as_username", "the ACL knows devices by common name"))
    if listener.value("tls_version", "tlsv1.2") not in {"tlsv1.2", "tlsv1.3"}:
        problems.append(ConfProblem(listener.line_of("tls_version"), "tls_version", "is older than TLS 1.2"))
    return problems


def _check_value(name: str, value: str, *, optional: bool) -> None:
    if not value and not optional:
        raise PolicyError(f"{name} is empty", hint="give a path or name for the broker's machine")
    if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", value) or value != value.strip():
        raise PolicyError(
            f"{name} {value[:80]!r} cannot stand in mosquitto.conf",
            hint="use a path without control characters and without blanks at its ends",
        )
