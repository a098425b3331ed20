"""A device for the quickstart: connects to the broker with its own certificate and says what happened.

``accepted`` and ``refused`` are claims that are tried; the exit code is 0 when they hold.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

TIMEOUT_S = 10


def wait_for_port(port: int) -> bool:
    """Wait until somebody listens."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def talk(port: int, device: str, folder: Path) -> list[str]:
    """Connect, publish to a foreign topic and to the own one, and return what came back, topic by topic.

    Raises:
        OSError: the broker refused the certificate.
    """
    received: list[str] = []
    subscribed, finished, refused = threading.Event(), threading.Event(), threading.Event()

    def note(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        received.append(message.topic)
        if message.topic == f"devices/{device}/last":
            finished.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id=device)
    client.tls_set(
        str(folder / "ca.crt"),
        str(folder / "device.crt"),
        str(folder / "device.key"),
        tls_version=ssl.PROTOCOL_TLS_CLIENT,
    )
    client.on_message = note
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_disconnect = lambda *_: refused.set()
    client.connect("localhost", port)
    client.loop_start()
    try:
        client.subscribe("devices/#", qos=1)
        # With TLS 1.3 a refusal of the client's certificate arrives only after the handshake.
        while not subscribed.wait(0.05):
            if refused.is_set():
                raise ConnectionError("the broker closed the connection")
        client.publish("devices/somebody-else/data", "x", qos=1)
        client.publish(f"devices/{device}/data", "x", qos=1)
        client.publish(f"devices/{device}/last", "x", qos=1)
        finished.wait(TIMEOUT_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return received


def main() -> int:
    """Run one claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", default="")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("claim", choices=("wait", "accepted", "refused"))
    arguments = parser.parse_args()
    if arguments.claim == "wait":
        return 0 if wait_for_port(arguments.port) else 1
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            topics = talk(arguments.port, arguments.device, arguments.folder)
        except OSError as error:
            print(f"{arguments.device}: refused by the broker ({error})")
            return 0 if arguments.claim == "refused" else 1
        if arguments.claim == "accepted" or time.monotonic() > deadline:
            break
        time.sleep(0.2)  # the broker may not have read the new CRL yet
    print(f"{arguments.device}: accepted; received on {', '.join(topics) or 'nothing'}")
    own = [f"devices/{arguments.device}/data", f"devices/{arguments.device}/last"]
    return 0 if arguments.claim == "accepted" and topics == own else 1


if __name__ == "__main__":
    sys.exit(main())
