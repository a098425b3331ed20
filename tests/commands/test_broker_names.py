"""A name that a broker has or had is no device's, where a client could take that for the broker; and the other way."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State

PROFILES = """
[profiles.host]
subject = ["common_name={device_id}"]
san = ["dns:{attr.host}", "ip:{attr.address}"]
eku = ["clientAuth"]

[profiles.plain]
subject = ["common_name={device_id}"]
"""
NOBODY = {"IOTONBOARD_PASSPHRASE_FILE": None}


def named(host: str, address: str = "10.0.0.7") -> tuple[str, ...]:
    return ("--profile", "host", "--set", f"host={host}", "--set", f"address={address}")


@pytest.fixture
def plant(state: State) -> State:
    """A broker that was called otherwise before, and one that was revoked."""
    (state.path / "iotonboard.toml").write_text(PROFILES)
    state.run("config", "accept")
    state.run("broker", "issue", "Broker.Example", "192.0.2.7", "2001:DB8::7")
    state.run("broker", "issue", "broker.example", "mqtt.example")
    state.run("broker", "issue", "old.example")
    state.run("broker", "revoke", "old.example")
    return state


@pytest.mark.parametrize(
    "words",
    [
        named("broker.example"),
        named("BROKER.example"),
        named("mqtt.example"),
        named("old.example"),
        named("pump.example", "192.0.2.7"),
        named("pump.example", "::ffff:192.0.2.7"),
        named("pump.example", "2001:db8:0:0::7"),
    ],
)
def test_no_device_gets_the_name_of_a_broker_past_or_present(plant: State, words: tuple[str, ...]) -> None:
    before = plant.snapshot()
    told = plant.run("register", "pump-1", *words, env=NOBODY, expect=6).stderr
    assert "is the name of a broker, or was" in told
    plant.run("profile", "check", "host", *words[2:], env=NOBODY, expect=6)
    assert plant.snapshot() == before


def test_a_device_that_could_be_taken_for_a_server_is_not_called_like_a_broker(plant: State) -> None:
    told = plant.run("register", "Broker.Example", "--profile", "plain", env=NOBODY, expect=6).stderr
    assert "name of a broker" in told
    plant.run("register", "pump-1", "--profile", "plain")
    plant.run("register", "mqtt.example", *named("pump.example"))  # a client, and nothing else


def test_a_renewal_is_held_against_the_brokers_that_came_since(plant: State) -> None:
    plant.run("register", "pump-1")
    plant.run("register", "old.example")
    told = plant.run("renew", "old.example", "--profile", "plain", env=NOBODY, expect=6).stderr
    assert "name of a broker" in told
    plant.run("renew", "pump-1", "--profile", "plain")


def test_a_row_of_a_list_with_such_a_name_harms_no_other(plant: State, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "device_id,profile,host,address\na1,host,broker.example,10.0.0.1\na2,host,a2.example,10.0.0.2\n"
    )
    answers = plant.run("register", "--batch", tmp_path / "list.csv", "--json", expect=6).json_lines
    assert [one["status"] for one in answers] == ["failed", "created"]


@pytest.mark.parametrize("name", ["Pump.example", "10.0.0.7", "plain-1"])
def test_no_broker_gets_a_name_that_a_device_has(plant: State, name: str) -> None:
    plant.run("register", "pump-1", *named("pump.example"))
    plant.run("register", "Plain-1", "--profile", "plain")
    before = plant.snapshot()
    for words in ((name,), ("broker.example", name), ("new.example", name)):
        told = plant.run("broker", "issue", *words, env=NOBODY, expect=4).stderr
        assert "could pose as the broker" in told
        assert "revoke" in told
    assert plant.snapshot() == before
    plant.run("broker", "issue", "broker.example")


def test_a_name_is_free_once_the_certificate_has_ended_and_not_while_it_is_on_hold(plant: State) -> None:
    plant.run("register", "pump-1", *named("pump.example"))
    plant.run("revoke", "pump-1", "--reason", "certificateHold")
    plant.run("broker", "issue", "pump.example", expect=4)
    plant.run("release", "pump-1")
    plant.run("revoke", "pump-1")
    plant.run("broker", "issue", "pump.example")


def test_a_device_of_a_ca_of_its_own_has_no_name_of_a_broker_and_no_broker_has_its_own(plant: State) -> None:
    plant.run("ca", "add", "servers")
    words = ("--profile", "server", "--set")
    for host in ("broker.example", "mqtt.example", "old.example"):
        told = plant.run("register", "pump-1", *words, f"host={host}", env=NOBODY, expect=6).stderr
        assert "name of a broker" in told
    told = plant.run("register", "broker.example", *words, "host=pump.example", env=NOBODY, expect=6).stderr
    assert "name of a broker" in told
    plant.run("register", "pump-1", *words, "host=pump.example")
    for name in ("pump.example", "pump-1"):
        assert "could pose" in plant.run("broker", "issue", name, env=NOBODY, expect=4).stderr
    plant.run("revoke", "pump-1")
    plant.run("broker", "issue", "pump.example")
    assert "name of a broker" in plant.run("register", "pump-2", *words, "host=pump.example", expect=6).stderr
