"""Three stations below one root, one office, two real brokers: whom each of them lets in, mutes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from iotonboard.store.registry.registry import Registry

from support.broker import Broker
from support.client import Client, Credentials, connect_answer, connected, unpack
from support.offices import Office, journal, make_office, trust
from support.program import State
from support.site import Site
from support.stations import make_station, make_works


class Plant:
    """The stations a, b and c with their devices, the office, and the brokers' machines with the brokers on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.journals = folder, 0
        works = make_works(folder)
        self.stations: dict[str, State] = {}
        self.devices: dict[str, Credentials] = {}
        for name in "abc":
            state = make_station(folder / name, f"Station {name.upper()}")
            works.certify(state)
            (folder / f"of-{name}").mkdir()
            twin = ("twin",) if name != "a" else ()
            for found in state.register(f"{name}-1", f"{name}-2", *twin):
                self.devices[f"{found['device_id']}@{name}"] = unpack(found, folder / f"of-{name}")
            self.stations[name] = state
        self.office: Office = make_office(folder / "hq")
        for name, state in self.stations.items():
            trust(self.office, state, name)
            self.take(name)

    def take(self, name: str) -> None:
        self.journals += 1
        path = self.folder / f"{self.journals}.journal"
        journal(self.stations[name], path, int(self.office.json("station", "show", name)["row"]))
        self.office.run("station", "take", path)

    def pack(self, name: str) -> Path:
        self.office.run("pack", "--out", self.folder / name)
        return self.folder / name

    def start(self, name: str) -> tuple[Site, Broker, str]:
        """A broker with a certificate of a station, which reads what is applied for it."""
        state, folder = self.stations[name], self.folder / f"site-{name}"
        folder.mkdir()
        site = Site(state, folder)
        site.ca = self.office.certificate
        site.apply(self.folder / "first")
        names = ((state.acl, "mosquitto.acl"), (state.crl, "crl.pem"), (state.ca_cert, "ca.crt"))
        broker = Broker(state, folder / "broker", replace={str(old): str(site.dest / new) for old, new in names})
        broker.start()
        (folder / "pid").write_text(f"{broker._process.pid}\n")
        return site, broker, f"pid:{folder / 'pid'}"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def brokers(plant: Plant) -> Iterator[list[tuple[Site, Broker, str]]]:
    plant.pack("first")
    with ExitStack() as stack:
        made = []
        for name in "ab":
            made.append(plant.start(name))
            stack.callback(made[-1][1].stop)
        yield made


def speaks(client: Client) -> bool:
    """Whether a device's own topic carries what it says."""
    topic = f"devices/{client.device_id}/x"
    client.subscribe(topic)
    client.publish(topic, "hello")
    return (topic, "hello") in client.received()


def test_devices_of_all_stations_are_let_in_and_what_was_revoked_anywhere_is_not(
    plant: Plant, brokers: list[tuple[Site, Broker, str]]
) -> None:
    good, revoked, ordered, twin = "c-1@c", "a-2@a", "b-2@b", "twin@c"
    with ExitStack() as stack:
        sessions = []
        for _, broker, _ in brokers:
            names = ("a-1@a", "b-1@b", good, revoked, ordered)
            clients = stack.enter_context(connected(broker, *(plant.devices[name] for name in names)))
            assert [speaks(client) for client in clients] == [True] * len(names)
            for name in ("twin@b", twin):  # its certificate is good, and nobody can tell the two apart
                (client,) = stack.enter_context(connected(broker, plant.devices[name]))
                assert not speaks(client)
                client.close()
            sessions.append(clients)
        plant.stations["a"].run("revoke", "a-2")
        plant.take("a")
        plant.office.run("revoke", "b-2", "--reason", "keyCompromise", expect=8)
        package = plant.pack("second")
        for (site, broker, how), clients in zip(brokers, sessions, strict=True):
            assert "applied" in site.apply(package, "--reload", how)
            assert [speaks(client) for client in clients] == [True, True, True, False, False]
            assert connect_answer(broker, plant.devices[revoked]) != "Success"
            (late,) = stack.enter_context(connected(broker, plant.devices[ordered]))
            assert not speaks(late)
    plant.stations["b"].run("revoke", "b-2", "--reason", "keyCompromise")
    plant.stations["b"].run("revoke", "twin")
    plant.take("b")
    package = plant.pack("third")
    for site, broker, how in brokers:
        site.apply(package, "--reload", how)
        assert connect_answer(broker, plant.devices[ordered]) != "Success"
        assert connect_answer(broker, plant.devices["twin@b"]) != "Success"
        with connected(broker, plant.devices[twin], plant.devices[good]) as clients:
            assert [speaks(client) for client in clients] == [True, True]


def test_what_somebody_writes_into_the_registry_reaches_no_broker(
    plant: Plant, brokers: list[tuple[Site, Broker, str]]
) -> None:
    site, broker, how = brokers[0]
    plant.stations["a"].run("revoke", "a-1")
    plant.take("a")
    registry = Registry.open(f"sqlite:///{plant.office.path}/devices.db", timeout_s=5)
    for statement in (
        "DELETE FROM revocation WHERE station = 1",
        "UPDATE device SET device_id = 'c-1', folded = 'c-1' WHERE device_id = 'a-1'",
        "UPDATE crl SET der = NULL, next_update = 0",
        "UPDATE journal SET until_row = 1, since_row = 0 WHERE station = 2",
    ):
        registry.execute(statement)
    registry.close()
    said = json.loads(site.apply(plant.pack("fourth"), "--reload", how, "--json"))
    assert (said["older"], said["kept"], said["forked"]) == ([], [], [])
    assert connect_answer(broker, plant.devices["a-1@a"]) != "Success"
    with connected(broker, plant.devices["c-1@c"], plant.devices["b-1@b"]) as clients:
        assert [speaks(client) for client in clients] == [True, True]
