"""An office with stations of its own, and what people carry between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iotonboard.broker.acl import Acl, parse_acl
from iotonboard.store.registry.registry import Registry

from support.offices import Office, journal, trust
from support.program import State

FILES = ("mosquitto.acl", "certs/crl.pem", "certs/ca.crt")


@dataclass
class Plant:
    """An office and copies of its stations, with how far it took each one's journals."""

    office: Office
    stations: dict[str, State]
    folder: Path
    taken: int = 0

    def take(self, *names: str) -> None:
        """Carry what some stations have to tell, or all of them, to the office."""
        for name in names or tuple(self.stations):
            self.taken += 1
            path = self.folder / f"{self.taken}.journal"
            journal(self.stations[name], path, self.row(name))
            self.office.run("station", "take", path)

    def row(self, name: str) -> int:
        return int(self.office.json("station", "show", name)["row"])

    def files(self) -> dict[str, bytes]:
        return {name: (self.office.path / name).read_bytes() for name in FILES}

    def sync(self) -> Acl:
        self.office.run("sync-acl")
        return parse_acl((self.office.path / "mosquitto.acl").read_bytes())

    def edit(self, *statements: str) -> None:
        """What somebody with rights in the registry's database does by hand."""
        registry = Registry.open(self.office.url or f"sqlite:///{self.office.path}/devices.db", timeout_s=5)
        for statement in statements:
            registry.execute(statement)
        registry.close()


def build(office: Office, pristine: dict[str, State], folder: Path, *names: str) -> Plant:
    copies = {}
    for name in names:
        (folder / name).mkdir()
        copies[name] = pristine[name].copy_to(folder / name)
        trust(office, copies[name], name)
    plant = Plant(office, copies, folder)
    plant.take()
    return plant
