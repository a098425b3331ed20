"""Two copies of one state that publish to the same broker."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from cryptography import x509
from iotonboard.broker.acl import parse_acl

from support.invariants import read_crls
from support.program import State


class Copies:
    """A state and a copy of it; ``live`` is the folder of their broker."""

    def __init__(self, state: State, folder: Path, *devices: str) -> None:
        self.live = folder / "live"
        self.live.mkdir()
        self.one = state
        state.run("config", "set", "broker_crl_file", self.live / "crl.pem")
        state.run("config", "set", "broker_acl_file", self.live / "acl")
        state.register(*devices)
        state.run("gen-crl")
        (folder / "copy").mkdir()
        self.two = state.copy_to(folder / "copy")
        self.serials = {one["device_id"]: one["serial"] for one in state.run("list", "--json").json_lines}

    @property
    def number(self) -> int:
        """Number of the newest list in place."""
        return max(number_of(one) for one in read_crls(self.live / "crl.pem"))

    def revoked(self) -> set[str]:
        """The devices that are on every list in place."""
        serials = [{f"{entry.serial_number:040X}" for entry in one} for one in read_crls(self.live / "crl.pem")]
        return {name for name, serial in self.serials.items() if all(serial.zfill(40) in found for found in serials)}

    def silent(self) -> set[str]:
        """The devices that the ACL in place lets publish nothing."""
        acl = parse_acl((self.live / "acl").read_bytes())
        return {name for name in self.serials if not acl.allows(name, name, "write", f"devices/{name}/x")}


def number_of(crl: x509.CertificateRevocationList) -> int:
    """cRLNumber."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def listed(state: State) -> tuple[int, set[int]]:
    """Number and serials of the first list that a state published."""
    crl = read_crls(state.crl)[0]
    return number_of(crl), {entry.serial_number for entry in crl}


def put_back(state: State, database: Path) -> None:
    """Put an older copy of the database in its place."""
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            (state.path / f"devices.db{suffix}").unlink()
    shutil.copy(database, state.path / "devices.db")
