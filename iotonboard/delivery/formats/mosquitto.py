"""Mosquitto as the client: options for mosquitto_pub and mosquitto_sub, and a bridge.

Formats: mosquitto_pub(1), mosquitto.conf(5), section Configuring Bridges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.formats import pem
from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

_CLIENT = """\
# mosquitto_{verb} reads this file by itself when XDG_CONFIG_HOME names its folder.
-h {host}
-p {port}
-i {device_id}
--cafile {base}ca.crt
--cert {base}device.crt
--key {base}device.key
"""
_BRIDGE = """\
# For the gateway's own mosquitto: append to its mosquitto.conf, or copy into its include_dir.
connection {device_id}
address {address}:{port}
remote_clientid {device_id}
bridge_protocol_version mqttv311
bridge_cafile {base}ca.crt
bridge_certfile {base}device.crt
bridge_keyfile {base}device.key
try_private false
"""


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Write the ``pem`` files, ``mosquitto_pub``, ``mosquitto_sub`` (their option files) and ``bridge.conf``.

    Paths begin with ``options.directory``. The bridge's topics are those of the credential; without any, all
    of the device's own: ``devices/<device-id>/#`` in both directions.
    """
    base = options.directory.rstrip("/") + "/" if options.directory else ""
    client = {
        "host": options.broker_host,
        "port": options.broker_port,
        "device_id": credential.device_id,
        "base": base,
    }
    address = f"[{options.broker_host}]" if ":" in options.broker_host else options.broker_host
    bridge = _BRIDGE.format(address=address, **client) + _render_topics(credential)
    return (
        *pem.encode(credential, options),
        OutputFile("mosquitto_pub", _CLIENT.format(verb="pub", **client).encode()),
        OutputFile("mosquitto_sub", _CLIENT.format(verb="sub", **client).encode()),
        OutputFile("bridge.conf", bridge.encode()),
    )


def _render_topics(credential: Credential) -> str:
    rules = [(topic, "out") for topic in credential.publish_topics]
    rules += [(topic, "in") for topic in credential.subscribe_topics]
    if not rules:
        rules = [(f"devices/{credential.device_id}/#", "both")]
    return "".join(f"topic {topic} {direction} 1\n" for topic, direction in rules)
