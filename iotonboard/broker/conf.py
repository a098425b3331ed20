"""The mosquitto.conf that ``broker issue`` writes: it lets in only devices with a valid certificate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.broker.acl import Version

_CONF = """\
# Mosquitto for {host}, written by iotonboard. Only clients with a certificate of the CA below get in,
# under the name in their certificate, with the rights that the ACL gives to that name.
#
# After a new CRL or ACL: replace the file by renaming a complete one over it, readable by the broker's
# user, then send SIGHUP ('systemctl reload mosquitto'). The broker re-reads the two files then and at no
# other time, and its own certificate and key and the CA file with them. Most of this file needs a restart.
#
{at_hangup}# A revoked device that is connected stays connected; only the ACL silences it.
# Do not send SIGHUP while it starts: it dies. A CRL past its nextUpdate refuses every device.

{per_listener_settings}allow_anonymous false
{access}
{user}{own_process}listener {port}{bind_address}
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

_AT_HANGUP: dict[Version, str] = {
    "2.0": """\
# What fails open in Mosquitto 2.0, at SIGHUP:
# - an ACL that is missing, unreadable or has one wrong line lets every client do everything;
# - a CRL that is missing, empty, cut short or unreadable admits revoked devices.
# At a start each of them keeps the broker from starting.
""",
    "2.1": """\
# Mosquitto 2.1 ends at SIGHUP, and does not start, where ACL, CRL, CA file, certificate or key is missing, unreadable
# or damaged, or the ACL is a symbolic link.
""",
}
_ACCESS: dict[Version, str] = {
    "2.0": "acl_file {acl_path}\n",
    "2.1": """\
acl_file {acl_path}
# The line above goes in Mosquitto 3.0. These two say the same to 2.1 already, in its place:
# global_plugin /usr/lib/mosquitto_acl_file.so
# plugin_opt_acl_file {acl_path}
""",
}
# 2.1 tells at every start that the line is deprecated; it is the default.
_ONE_ACL = """\
# One ACL for all listeners: a listener added later is not open by accident.
per_listener_settings false
"""
_OWN_PROCESS = """\
# Sessions and retained messages live in memory; set persistence_location too before you turn this on.
persistence false
{pid_file}
"""


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
    user: str = "",
    is_included: bool = False,
    version: Version = "2.0",
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
        user: whom the broker becomes, started by root; empty is Mosquitto's default.
        is_included: another file is the broker's own, and includes this one: nothing that belongs there and
            may not be said twice.
        version: the release of Mosquitto that reads it.

    Raises:
        PolicyError: a value that would not stay on its line or would be read as another one.
    """
    paths = {"ca_path": ca_path, "cert_path": cert_path, "key_path": key_path, "crl_path": crl_path}
    given = {"host": host, **paths, "acl_path": acl_path, "bind_address": bind_address, "pid_path": pid_path}
    _check_values({**given, "user": user}, port)
    pid_file = f"pid_file {pid_path}\n" if pid_path else ""
    return _CONF.format(
        **given
        | _of_release(version, acl_path)
        | {
            "port": port,
            "user": f"user {user}\n\n" if user else "",
            "own_process": "" if is_included else _OWN_PROCESS.format(pid_file=pid_file),
            "bind_address": f" {bind_address}" if bind_address else "",
        }
    )


def _of_release(version: Version, acl_path: str) -> dict[str, str]:
    return {
        "at_hangup": _AT_HANGUP[version],
        "access": _ACCESS[version].format(acl_path=acl_path),
        "per_listener_settings": _ONE_ACL if version == "2.0" else "",
    }


def _check_values(given: Mapping[str, str], port: int) -> None:
    for name, value in given.items():
        _check_value(name, value, optional=name in {"bind_address", "pid_path", "user"})
    if " " in given["bind_address"]:
        what = f"{quoted(given['bind_address'])} is not an address to listen on"
        raise PolicyError(what, hint="give one name or address")
    if not 0 < port < 65536:
        raise PolicyError(f"{port} is not a port", hint="use a number from 1 to 65535; MQTT over TLS has 8883")


def _check_value(name: str, value: str, *, optional: bool) -> None:
    if not value and not optional:
        raise PolicyError(f"{name} is empty", hint="give a path or name for the broker's machine")
    if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", value) or value != value.strip():
        raise PolicyError(
            f"{name} {quoted(value)} cannot stand in mosquitto.conf",
            hint="use a path without control characters and without blanks at its ends",
        )
