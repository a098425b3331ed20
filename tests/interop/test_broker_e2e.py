"""The whole promise against a real Mosquitto with real MQTT clients.

Nothing is inferred from return codes of PUBLISH and SUBSCRIBE: Mosquitto 2.0 grants every SUBSCRIBE and
acknowledges a publish that it drops. What counts is which messages were delivered; that one was not is proved
by a later message or answer in the same ordered stream (support/client.py), never by waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from support.broker import Broker
from support.client import Client, Credentials, connect_answer, connected, unpack
from support.program import State

OPERATORS_RULES_BEFORE = (
    "# Plant 4 -- hand-written rules, do not lose (the ü is on purpose)\n"
    "topic read $SYS/broker/version\n"
    "\n"
    "user dashboard\n"
    "topic read devices/#\n"
    "\n"
    "user scada\n"
    "topic write devices/press-1/command\n\n"
).encode()
OPERATORS_RULES_AFTER = b"\n# the bridge to plant 5\nuser bridge\ntopic readwrite plants/5/#\n#end, without a newline"


@dataclass
class Plant:
    """A state with three devices, its broker, and what was issued."""

    state: State
    broker: Broker
    devices: dict[str, Credentials]
    folder: Path


@pytest.fixture
def plant(state: State, start_broker, tmp_path: Path) -> Plant:
    registered = state.register("press-1", "press-2", "dashboard")
    devices = {one["device_id"]: unpack(one, tmp_path) for one in registered}
    return Plant(state, start_broker(state), devices, tmp_path)


def watch_everything(state: State, device_id: str) -> None:
    """Give one device the right to see all topics, by a rule of the operator's own."""
    state.acl.write_bytes(f"user {device_id}\ntopic read #\n\n".encode() + state.acl.read_bytes())


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_device_publishes_and_receives_on_its_own_topics(plant: Plant, protocol: MQTTProtocolVersion) -> None:
    with connected(plant.broker, plant.devices["press-1"], protocol=protocol) as [press]:
        press.subscribe("devices/press-1/#")
        press.publish("devices/press-1/temperature", "21.5")
        press.publish("devices/press-1/deep/er/still", "yes")
        assert press.received() == [
            ("devices/press-1/temperature", "21.5"),
            ("devices/press-1/deep/er/still", "yes"),
        ]


def test_a_device_does_not_receive_on_other_devices_topics(plant: Plant) -> None:
    with connected(plant.broker, plant.devices["press-1"], plant.devices["press-2"]) as [one, two]:
        two.subscribe("#", "devices/press-1/#", "devices/+/secret", "+/press-1/secret")
        one.subscribe("#")
        one.publish("devices/press-1/secret", "for press-1 only")
        two.publish("devices/press-2/own", "for press-2")

        own = ("devices/press-2/own", "for press-2")
        assert set(two.received()) == {own}, "press-2 saw what was meant for press-1"
        assert ("devices/press-1/secret", "for press-1 only") in one.received()


def test_a_device_does_not_reach_other_devices_topics(plant: Plant) -> None:
    watch_everything(plant.state, "dashboard")
    plant.broker.reload()
    with connected(plant.broker, *(plant.devices[name] for name in ("press-1", "press-2", "dashboard"))) as [
        one,
        two,
        dashboard,
    ]:
        one.subscribe("devices/press-1/#")
        dashboard.subscribe("#")
        foreign = [
            "devices/press-1/command",
            "devices/press-1",
            "devices",
            "devices/press-11/x",
            "elsewhere",
            "$SYS/x",
        ]
        for topic in foreign:
            two.publish(topic, "forged")
        two.publish("devices/press-2/sentinel", "reached the broker after the forged ones")

        assert [topic for topic, _ in dashboard.received()] == ["devices/press-2/sentinel"]
        assert one.received() == []


def test_nobody_without_a_certificate_of_this_ca_is_let_in(plant: Plant, tmp_path: Path) -> None:
    from support.program import make_state

    (tmp_path / "other").mkdir()
    other = make_state(tmp_path / "other")
    stranger = unpack(other.register("press-1")[0], tmp_path / "other")
    ca_cert = plant.devices["press-1"].ca_cert
    assert connect_answer(plant.broker, None, ca_cert=ca_cert).startswith("refused")
    assert connect_answer(plant.broker, stranger, ca_cert=ca_cert).startswith("refused")
    assert connect_answer(plant.broker, plant.devices["press-1"]) == "Success"


def test_a_client_refuses_a_device_that_poses_as_the_broker(plant: Plant) -> None:
    """A device certificate has clientAuth only: no other device accepts it from a server."""
    device = plant.state.device("press-2")
    broker_files = plant.state.certs / "brokers" / "localhost"
    posing = {
        str(broker_files / "broker.crt"): str(device / "device.crt"),
        str(broker_files / "broker-plain.key"): str(plant.devices["press-2"].key),
    }
    fake = Broker(plant.state, plant.folder / "fake", replace=posing)
    fake.start()
    try:
        answer = connect_answer(fake, plant.devices["press-1"])
    finally:
        fake.stop()
    assert "certificate" in answer, answer
    assert answer.startswith("refused"), answer


def test_after_revocation_a_new_connection_is_refused_and_others_are_not(plant: Plant) -> None:
    assert connect_answer(plant.broker, plant.devices["press-1"]) == "Success"
    plant.state.run("revoke", "press-1", "--reason", "keyCompromise")
    plant.broker.reload()
    assert connect_answer(plant.broker, plant.devices["press-1"]).startswith("refused")
    assert connect_answer(plant.broker, plant.devices["press-2"]) == "Success"
    assert "verify failed" in plant.broker.log


def test_the_certificate_alone_keeps_a_revoked_device_out(plant: Plant) -> None:
    """The CRL does it: with every right still in the ACL the connection is refused all the same."""
    acl = plant.state.acl.read_bytes()
    plant.state.run("revoke", "press-1")
    plant.state.acl.write_bytes(acl)
    plant.broker.reload()
    assert connect_answer(plant.broker, plant.devices["press-1"]).startswith("refused")


def test_after_revocation_a_live_session_is_muted_and_others_are_not(plant: Plant) -> None:
    watch_everything(plant.state, "dashboard")
    plant.broker.reload()
    with connected(plant.broker, *(plant.devices[name] for name in ("press-1", "press-2", "dashboard"))) as [
        revoked,
        other,
        dashboard,
    ]:
        revoked.subscribe("#", "devices/press-1/#")
        other.subscribe("devices/press-2/#")
        dashboard.subscribe("#")
        revoked.publish("devices/press-1/state", "alive")
        assert dashboard.received() == [("devices/press-1/state", "alive")]
        assert ("devices/press-1/state", "alive") in revoked.received()

        plant.state.run("revoke", "press-1")
        plant.broker.reload()

        assert revoked.is_connected, "if Mosquitto ends sessions now, so must the text that says it does not"
        revoked.publish("devices/press-1/state", "still talking")
        other.publish("devices/press-2/state", "works on")
        assert dashboard.received() == [("devices/press-2/state", "works on")]
        assert revoked.received() == []
        assert other.received() == [("devices/press-2/state", "works on")]


def test_a_revoked_live_session_receives_nothing_that_is_sent_to_it(plant: Plant) -> None:
    """What an operator's station sends to the device's topics, not only what the device itself sends."""
    rules = b"user dashboard\ntopic readwrite devices/#\n\n"
    plant.state.acl.write_bytes(rules + plant.state.acl.read_bytes())
    plant.broker.reload()
    with connected(plant.broker, plant.devices["press-1"], plant.devices["dashboard"]) as [device, station]:
        device.subscribe("devices/press-1/#")
        station.publish("devices/press-1/command", "start")
        assert device.received() == [("devices/press-1/command", "start")]

        plant.state.run("revoke", "press-1")
        plant.broker.reload()
        station.publish("devices/press-1/command", "the new recipe")
        assert device.received() == []


def test_a_reissued_device_goes_on_with_its_new_certificate_only(plant: Plant) -> None:
    (again,) = plant.state.register("press-1", "--if-exists", "reissue")
    fresh = unpack(again, plant.folder)
    old = next(one for one in plant.state.json("show", "press-1")["certificates"] if one["serial"] != again["serial"])
    plant.state.run("revoke", "--serial", old["serial"], "--reason", "superseded")
    plant.broker.reload()
    assert connect_answer(plant.broker, plant.devices["press-1"]).startswith("refused")
    with connected(plant.broker, fresh) as [device]:
        device.subscribe("devices/press-1/#")
        device.publish("devices/press-1/x", "renewed")
        assert device.received() == [("devices/press-1/x", "renewed")]


def test_a_client_id_cannot_be_taken_over(plant: Plant) -> None:
    with connected(plant.broker, plant.devices["press-1"], client_id="press-1") as [victim]:
        with connected(plant.broker, plant.devices["press-2"], client_id="press-1") as [thief]:
            victim.subscribe("devices/press-1/#")
            victim.publish("devices/press-1/x", "still here")
            assert victim.received() == [("devices/press-1/x", "still here")]
            assert thief.received() == []
        assert victim.is_connected


def test_it_is_the_generated_line_that_prevents_the_take_over(plant: Plant, tmp_path: Path) -> None:
    """The control of the test above: without the line the broker ends the first session."""
    weak = Broker(
        plant.state,
        tmp_path / "weak",
        replace={"use_username_as_clientid true": "use_username_as_clientid false"},
    )
    weak.start()
    try:
        victim = Client(weak, plant.devices["press-1"], client_id="press-1").connect()
        with connected(weak, plant.devices["press-2"], client_id="press-1"):
            assert victim.wait_until_ended()
        victim.close()
    finally:
        weak.stop()


def test_the_operators_own_rules_stay_byte_for_byte_and_work(plant: Plant) -> None:
    state = plant.state
    state.acl.write_bytes(OPERATORS_RULES_BEFORE + state.acl.read_bytes() + OPERATORS_RULES_AFTER)
    (extra, bridge, scada) = state.register("press-3", "bridge", "scada", "--own-rules")
    state.run("revoke", "press-2")
    state.run("sync-acl")
    text = state.acl.read_bytes()
    assert text.startswith(OPERATORS_RULES_BEFORE)
    assert text.endswith(OPERATORS_RULES_AFTER)

    plant.broker.reload()
    devices = [plant.devices["press-1"], plant.devices["dashboard"]]
    devices += [unpack(one, plant.folder) for one in (extra, bridge, scada)]
    with connected(plant.broker, *devices) as [press, dashboard, third, bridge_client, scada_client]:
        for client in (press, dashboard, third, bridge_client, scada_client):
            client.subscribe("#")
        third.publish("devices/press-3/state", "new here")
        scada_client.publish("devices/press-1/command", "open")
        scada_client.publish("devices/press-3/command", "not allowed to scada")
        bridge_client.publish("plants/5/x", "over the bridge")
        press.publish("plants/5/x", "not allowed to press-1")

        assert dashboard.received() == [
            ("devices/press-3/state", "new here"),
            ("devices/press-1/command", "open"),
        ]
        assert press.received() == [("devices/press-1/command", "open")]
        assert third.received() == [("devices/press-3/state", "new here")]
        assert bridge_client.received() == [("plants/5/x", "over the bridge")]
        assert scada_client.received() == []


@pytest.mark.parametrize("before", [b"", b"# only a comment", b"user dashboard\ntopic read devices/#"])
@pytest.mark.parametrize("after", [b"", b"\n\n# nothing but a comment\n\n", b"user bridge\ntopic read x"])
def test_no_writing_command_touches_what_stands_outside_the_region(state: State, before: bytes, after: bytes) -> None:
    region = state.acl.read_bytes()
    separator = b"\n" if before and not before.endswith(b"\n") else b""
    state.acl.write_bytes(before + separator + region + after)
    state.register("press-1", "press-2")
    state.run("revoke", "press-1")
    state.run("gen-crl")
    state.run("sync-acl")
    text = state.acl.read_bytes()
    assert text.startswith(before + separator)
    assert text.endswith(after)
    assert text.count(b"user press-2\n") == 1


def test_an_acl_file_that_the_operator_began_is_taken_over_whole(state: State, start_broker, tmp_path: Path) -> None:
    """A plant that already has an ACL: its text stays and the region is added."""
    plants_own = b"user dashboard\ntopic read devices/#"
    state.acl.write_bytes(plants_own)
    one, dashboard = (unpack(found, tmp_path) for found in state.register("press-1", "dashboard", "--own-rules"))
    state.run("sync-acl")
    assert plants_own in state.acl.read_bytes()
    broker = start_broker(state)
    with connected(broker, one, dashboard) as [press, watcher]:
        watcher.subscribe("#")
        press.subscribe("#")
        press.publish("devices/press-1/x", "seen")
        watcher.publish("devices/press-1/x", "forged")
        assert watcher.received() == [("devices/press-1/x", "seen")]
        assert press.received() == [("devices/press-1/x", "seen")]


def test_topic_rules_come_from_the_configuration(state: State, start_broker, tmp_path: Path) -> None:
    config = state.path / "iotonboard.toml"
    rules = (
        '[[acl.topics]]\naccess = "write"\ntopic = "up/{device_id}/#"\n\n'
        '[[acl.topics]]\naccess = "read"\ntopic = "down/{device_id}/#"\n\n'
        '[[acl.topics]]\naccess = "readwrite"\ntopic = "shared/hall-7"\n'
    )
    config.write_text((config.read_text() if config.exists() else "") + "\n" + rules)
    state.run("config", "accept")
    one, two = (unpack(found, tmp_path) for found in state.register("press-1", "press-2"))
    broker = start_broker(state)
    with connected(broker, one, two) as [first, second]:
        first.subscribe("#")
        second.subscribe("#")
        first.publish("up/press-1/x", "goes up, nobody may read it")
        first.publish("down/press-2/x", "not allowed")
        first.publish("devices/press-1/x", "the default does not hold any more")
        first.publish("shared/hall-7", "for both")
        assert first.received() == [("shared/hall-7", "for both")]
        assert second.received() == [("shared/hall-7", "for both")]
