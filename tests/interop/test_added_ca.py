"""A device that may be a server, at a real broker and before real clients: neither in, nor taken for the broker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from support.broker import Broker
from support.client import Credentials, connect_answer, unpack
from support.program import State
from support.tools import need


def test_a_server_neither_connects_nor_poses_as_the_broker(
    state: State, start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    state.run("ca", "add", "servers", "--key-type", "ec-p256")
    (client,) = state.register("m1")
    state.register("web-1")
    device = unpack(client, tmp_path)
    (made,) = state.run("register", "web-1", "--profile", "server", "--set", "host=web.test", "--json").json_lines
    server = unpack(made, tmp_path)
    assert verified(device.ca_cert, server.cert).startswith("refused")
    assert verified(server.ca_cert, server.cert) == "OK"
    assert verified(server.ca_cert, device.cert).startswith("refused")

    broker = start_broker(state)
    assert connect_answer(broker, device) == "Success"
    assert "refused" in connect_answer(broker, Credentials("web-1", device.ca_cert, server.cert, server.key))
    assert hears_as_client(broker, device) == 0
    folder = state.certs / "brokers" / "localhost"
    posing = start_broker(
        state,
        replace={str(folder / "broker.crt"): str(server.cert), str(folder / "broker-plain.key"): str(server.key)},
    )
    assert hears_as_client(posing, device) != 0
    # Who trusts the CA of servers is led there: it is that CA alone which keeps the client away.
    assert hears_as_client(posing, Credentials("m1", server.ca_cert, device.cert, device.key)) == 0


def verified(ca: Path, certificate: Path) -> str:
    """What openssl says of a certificate, for clients and servers alike."""
    done = subprocess.run(
        [need("openssl"), "verify", "-CAfile", ca, certificate], capture_output=True, text=True, check=False
    )
    return "OK" if done.returncode == 0 else f"refused: {done.stderr}"


def hears_as_client(broker: Broker, device: Credentials) -> int:
    """The exit code of a client that checks the chain by its ca.crt, and no name."""
    return subprocess.run(
        [need("mosquitto_pub"), "--insecure", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1", "-t",
         "devices/m1/x", "-m", "here", "--cafile", device.ca_cert, "--cert", device.cert, "--key", device.key],
        capture_output=True,
        check=False,
    ).returncode  # fmt: skip
