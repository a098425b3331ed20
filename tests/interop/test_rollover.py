"""A real broker through a change of its CA: nobody who is valid is refused, and nobody who is revoked gets in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.broker import Broker
from support.client import Credentials, connect_answer, connected, unpack
from support.program import State


def publishes(broker: Broker, name: str, credentials: Credentials) -> None:
    """The device is let in and its messages reach its own topics."""
    with connected(broker, credentials) as [device]:
        device.subscribe(f"devices/{name}/#")
        device.publish(f"devices/{name}/x", "here")
        assert device.received() == [(f"devices/{name}/x", "here")]


def test_a_broker_trusts_both_cas_until_the_old_one_is_retired(
    state: State, start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    devices = {one["device_id"]: unpack(one, tmp_path) for one in state.register("old-1", "old-2", "old-3")}
    broker = start_broker(state)
    publishes(broker, "old-1", devices["old-1"])
    # Somebody with a copy of the old key makes certificates; they are worth nothing once that CA is retired.
    (tmp_path / "thief").mkdir()
    stolen = unpack(state.copy_to(tmp_path / "thief").register("old-9")[0], tmp_path)
    assert connect_answer(broker, stolen) == "Success"

    state.run("ca", "rollover", "begin")
    devices |= {one["device_id"]: unpack(one, tmp_path) for one in state.register("new-1", "new-2")}
    assert connect_answer(broker, devices["new-1"]).startswith("refused")
    # Measured: with a crlfile the broker reads its cafile anew at a reload. What 'ca rollover' says rests on this.
    broker.reload()
    for name, credentials in devices.items():
        publishes(broker, name, credentials)

    state.run("revoke", "old-1", "new-1")
    broker.reload()
    assert connect_answer(broker, devices["old-1"]).startswith("refused")
    assert connect_answer(broker, devices["new-1"]).startswith("refused")
    publishes(broker, "old-2", devices["old-2"])
    publishes(broker, "new-2", devices["new-2"])

    # A broker's new certificate is of the CA that the old devices know, until the last of them has gone.
    state.run("broker", "issue", "localhost", "127.0.0.1", "--plain-key")
    broker.reload()
    publishes(broker, "old-2", devices["old-2"])
    publishes(broker, "new-2", devices["new-2"])
    renewed = state.run("renew", "--old-ca", "--revoke-old", "now", "--json").json_lines
    devices |= {one["device_id"]: unpack(one, tmp_path) for one in renewed}
    state.run("broker", "issue", "localhost", "127.0.0.1", "--plain-key")
    state.run("ca", "rollover", "--retire")
    broker.reload()
    (latest,) = state.register("new-3")
    broker.reload()
    devices["new-3"] = unpack(latest, tmp_path)
    for name in ("old-2", "old-3", "new-2", "new-3"):
        publishes(broker, name, devices[name])
    assert connect_answer(broker, devices["old-1"]).startswith("refused")
    assert connect_answer(broker, stolen, ca_cert=devices["new-3"].ca_cert).startswith("refused")
