"""A broker's machine, to which packages are applied."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from iotonboard.broker.acl import parse_acl

from support.program import State, snapshot

FILES = ("crl.pem", "mosquitto.acl", "ca.crt")


class Site:
    """A broker's machine: a folder, the CA certificate that was carried there once, and no state."""

    def __init__(self, state: State, folder: Path) -> None:
        self.state, self.folder = state, folder
        self.dest = folder / "mosquitto"
        self.dest.mkdir(mode=0o755)
        self.ca = Path(shutil.copy(state.ca_cert, folder / "pinned.crt"))

    def pack(self, name: str = "package", *words: str) -> Path:
        path = self.folder / name
        self.state.run("pack", "--out", path, *words)
        return path

    def words(self, package: Path, *more: str) -> tuple[str, ...]:
        return ("apply", str(package), "--ca", str(self.ca), "--dest", str(self.dest), "--user", "root", *more)

    def apply(
        self,
        package: Path,
        *more: str,
        expect: int = 0,
        env: dict[str, str] | None = None,
        before: Callable[[], object] | None = None,
    ) -> str:
        """Apply with an environment that knows no state and no passphrase."""
        nothing = {"IOTONBOARD_STATE": None, "IOTONBOARD_PASSPHRASE_FILE": None, **(env or {})}
        result = self.state.run(*self.words(package, *more), expect=expect, env=nothing, before=before)
        return result.stdout if expect == 0 or "--json" in more else result.stderr

    def refused(self, package: Path, *more: str, expect: int = 6, env: dict[str, str] | None = None) -> str:
        """Apply what must be refused: nothing but the lock may appear."""
        before = self.files()
        said = self.apply(package, *more, expect=expect, env=env)
        assert self.files() == before
        return said

    def files(self) -> dict[str, str]:
        found = {name: what for name, what in snapshot(self.folder).items() if not name.endswith("lock.db")}
        if found.get("mosquitto/generations", "").endswith("folder") and not any(
            name.startswith("mosquitto/generations/") for name in found
        ):
            del found["mosquitto/generations"]
        return found

    def contents(self) -> dict[str, bytes]:
        return {name: (self.dest / name).read_bytes() for name in FILES if (self.dest / name).exists()}

    def revoked(self) -> set[int]:
        """The serials that are on every list of the state's first CA here."""
        lists = x509.load_pem_x509_crl
        end = b"-----END X509 CRL-----\n"
        pieces = (self.dest / "crl.pem").read_bytes().split(end)[:-1]
        return set.intersection(*({entry.serial_number for entry in lists(piece + end)} for piece in pieces))

    def revoked_by_name(self, name: str) -> set[int]:
        """The serials on the lists here of the CA with a commonName."""
        begin = b"-----BEGIN X509 CRL-----"
        lists = [x509.load_pem_x509_crl(begin + one) for one in (self.dest / "crl.pem").read_bytes().split(begin)[1:]]
        return {entry.serial_number for one in lists if name in one.issuer.rfc4514_string() for entry in one}

    def is_silent(self, device_id: str) -> bool:
        """Whether the ACL here lets a device publish nothing."""
        acl = parse_acl((self.dest / "mosquitto.acl").read_bytes())
        return not acl.allows(device_id, device_id, "write", f"devices/{device_id}/x")
