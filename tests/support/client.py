"""A real MQTT client with a client certificate, and ways to prove what it did and did not receive."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest
import pyzipper
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from support.broker import Broker

_WAIT_S = 20.0  # a bound for what must happen; nothing is proved by letting it pass
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Credentials:
    """What a device has after it unpacked its bundle."""

    device_id: str
    ca_cert: Path
    cert: Path
    key: Path
    key_password: str | None = None


def open_bundle(bundle: Path, password: str) -> dict[str, bytes]:
    """Every entry of a bundle, by name."""
    with pyzipper.AESZipFile(bundle) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name) for name in archive.namelist()}


def unpack(registered: dict[str, Any], folder: Path) -> Credentials:
    """Unpack a freshly registered device's bundle the way a device would."""
    target = folder / f"device-{registered['device_id']}-{next(_numbers)}"
    target.mkdir()
    try:
        files = open_bundle(Path(registered["bundle"]), registered["bundle_password"])
    except (RuntimeError, zipfile.BadZipFile) as error:
        pytest.fail(f"the bundle of {registered['device_id']} does not open: {error}")
    for name, content in files.items():
        (target / name).write_bytes(content)
    key = target / "device.key"
    encrypted = b"ENCRYPTED" in key.read_bytes()
    return Credentials(
        registered["device_id"],
        target / "ca.crt",
        target / "device.crt",
        key,
        registered["bundle_password"] if encrypted else None,
    )


class Client:
    """One MQTT session. Calls return when the broker has answered."""

    def __init__(
        self,
        broker: Broker,
        credentials: Credentials | None,
        *,
        ca_cert: Path | None = None,
        client_id: str = "",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
        weak: bool = False,
    ) -> None:
        self.broker = broker
        self.device_id = credentials.device_id if credentials else ""
        self._changed = threading.Condition()
        self._connack: str | None = None
        self._ended: str | None = None
        self._answered: set[int] = set()
        self._received: list[tuple[str, str]] = []
        self._read = 0
        self._mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        context = ssl.create_default_context(cafile=ca_cert or (credentials.ca_cert if credentials else None))
        if weak:  # a client that takes any key of its own; the broker decides
            context.set_ciphers("DEFAULT@SECLEVEL=0")
        if credentials:
            context.load_cert_chain(credentials.cert, credentials.key, credentials.key_password)
        self._mqtt.tls_set_context(context)
        self._mqtt.on_connect = lambda _c, _u, _f, code, _p: self._note(connack=str(code))
        self._mqtt.on_disconnect = lambda _c, _u, _f, code, _p: self._note(ended=str(code))
        self._mqtt.on_subscribe = lambda _c, _u, mid, _codes, _p: self._note(answered=mid)
        self._mqtt.on_publish = lambda _c, _u, mid, _code, _p: self._note(answered=mid)
        self._mqtt.on_message = lambda _c, _u, message: self._note(received=(message.topic, message.payload.decode()))

    def _note(
        self,
        *,
        connack: str | None = None,
        ended: str | None = None,
        answered: int | None = None,
        received: tuple[str, str] | None = None,
    ) -> None:
        with self._changed:
            self._connack = connack or self._connack
            self._ended = ended or self._ended
            if answered is not None:
                self._answered.add(answered)
            if received is not None:
                self._received.append(received)
            self._changed.notify_all()

    def _wait(self, condition: Any, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, _WAIT_S):
                pytest.fail(f"{self.device_id}: waited for {what}\n{self.broker.log}")

    def try_connect(self) -> str:
        """Connect; ``"Success"``, or how the broker refused.

        With TLS 1.3 the client finishes its handshake before the broker judged the certificate, so the
        refusal may come as an end of the connection instead of an error here.
        """
        try:
            self._mqtt.connect("127.0.0.1", self.broker.port, keepalive=600)
        except (ssl.SSLError, OSError) as error:
            return f"refused: {error}"
        self._mqtt.loop_start()
        self._wait(lambda: self._connack or self._ended, "an answer to CONNECT")
        return self._connack or f"refused: {self._ended}"

    def connect(self) -> Self:
        """Connect and be accepted."""
        answer = self.try_connect()
        if answer != "Success":
            pytest.fail(f"{self.device_id} was not accepted: {answer}\n{self.broker.log}")
        return self

    def subscribe(self, *topics: str) -> None:
        """Subscribe and wait for the answer; the broker's answer says nothing about delivery."""
        _, mid = self._mqtt.subscribe([(topic, 1) for topic in topics])
        assert mid is not None
        self._wait(lambda: mid in self._answered or self._ended, "the answer to SUBSCRIBE")
        assert self._ended is None, f"{self.device_id} lost its session: {self._ended}\n{self.broker.log}"

    def publish(self, topic: str, payload: str) -> None:
        """Publish and wait for the answer: after it the broker has delivered or dropped the message."""
        mid = self._mqtt.publish(topic, payload, qos=1).mid
        self._wait(lambda: mid in self._answered or self._ended, "the answer to PUBLISH")
        assert self._ended is None, f"{self.device_id} lost its session: {self._ended}\n{self.broker.log}"

    def received(self) -> list[tuple[str, str]]:
        """Every message since the last call, proven complete.

        A round trip in the same session is the sentinel: the broker puts what it delivers into one ordered
        stream, so all that was delivered before the answer to a SUBSCRIBE stands in front of that answer.
        """
        self.subscribe(f"sentinel/{next(_numbers)}")
        with self._changed:
            fresh = self._received[self._read :]
            self._read = len(self._received)
        return fresh

    @property
    def is_connected(self) -> bool:
        """Whether the session lives, by a round trip through the broker."""
        if self._ended is not None:
            return False
        _, mid = self._mqtt.subscribe(f"sentinel/{next(_numbers)}")
        self._wait(lambda: mid in self._answered or self._ended, "a round trip")
        return self._ended is None

    def wait_until_ended(self) -> str:
        """Wait until the broker ends the session and say how."""
        self._wait(lambda: self._ended, "the end of the session")
        return str(self._ended)

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()


@contextlib.contextmanager
def connected(broker: Broker, *credentials: Credentials, **options: Any) -> Iterator[list[Client]]:
    """Connect one client for each device; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        clients = []
        for one in credentials:
            client = Client(broker, one, **options)
            stack.callback(client.close)
            clients.append(client.connect())
        yield clients


def connect_answer(broker: Broker, credentials: Credentials | None, **options: Any) -> str:
    """Try one new connection; ``"Success"``, or how it was refused."""
    client = Client(broker, credentials, **options)
    try:
        return client.try_connect()
    finally:
        client.close()
