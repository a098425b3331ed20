"""A real broker after the theft of its CA's key: what the thief signs is nothing, who is enrolled again gets in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.broker import Broker
from support.client import Credentials, connect_answer, unpack
from support.program import State
from support.thief import Thief


def credentials_of(thief: Thief, name: str, state: State) -> Credentials:
    """A certificate that the thief made, as a device would hold it."""
    certificate = thief.certificate(name)
    key = certificate.with_suffix(".key")
    key.write_bytes(thief.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    anchors = certificate.with_name("ca.crt")
    anchors.write_bytes(state.ca_cert.read_bytes())
    return Credentials(name, anchors, certificate, key)


def test_the_thief_is_out_and_the_plant_is_back(
    state: State, start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    (before,) = (unpack(one, tmp_path) for one in state.register("press"))
    broker = start_broker(state)
    thief = Thief(state, tmp_path / "thief")
    forged = credentials_of(thief, "press", state)
    assert connect_answer(broker, forged) == "Success"

    answer = state.json("ca", "replace", "--compromised")
    state.run("broker", "issue", "localhost", "127.0.0.1", "--plain-key")
    broker.stop()
    broker.start()
    (renewed,) = state.run(
        "renew", "--batch", str(Path(answer["replaced"][0]["path"]) / "devices.csv"), "--json"
    ).json_lines
    again = unpack(renewed, tmp_path)
    broker.reload()
    assert connect_answer(broker, again) == "Success"
    for refused in (forged, before):
        assert connect_answer(broker, refused, ca_cert=again.ca_cert).startswith("refused")

    # A list with a number beyond any other, of the stolen key, and the old CA's last one: neither is in the way.
    last = (Path(answer["replaced"][0]["path"]) / "last-crl.pem").read_bytes()
    state.crl.write_bytes(thief.crl(number=1 << 100, serials=[1]) + last + state.crl.read_bytes())
    broker.reload()
    assert connect_answer(broker, again) == "Success"
    assert connect_answer(broker, forged, ca_cert=again.ca_cert).startswith("refused")
    state.run("revoke", "press")
    broker.reload()
    assert connect_answer(broker, again).startswith("refused")
