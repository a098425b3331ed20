"""Head offices, and what tests do with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iotonboard.ca.passphrase import key_file_text

from support.program import Result, State, run_cli


@dataclass(frozen=True)
class Office:
    """One office: its folder, the file that opens its key, and its registry's URL; empty: in its folder."""

    path: Path
    passphrase_file: Path
    url: str = ""

    def run(self, *args: str | Path, env: dict[str, str | None] | None = None, **options: Any) -> Result:
        """Run the program on this office."""
        given = {
            "IOTONBOARD_PASSPHRASE_FILE": str(self.passphrase_file),
            "DATABASE_URL": self.url or None,
            **(env or {}),
        }
        return run_cli(*args, state=self.path, env=given, **options)

    def json(self, *args: str | Path, **options: Any) -> dict[str, Any]:
        """Run the program with --json and return its one object."""
        return self.run(*args, "--json", **options).json

    @property
    def certificate(self) -> Path:
        """What stations and brokers pin."""
        return self.path / "certs" / "office.crt"


def make_office(folder: Path, url: str = "", *options: str) -> Office:
    """Make an office in ``folder``, with a key file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    passphrase = folder / "office.pass"
    passphrase.write_bytes(key_file_text(bytes(range(32))))
    passphrase.chmod(0o600)
    office = Office(folder / "office", passphrase, url)
    office.run("init-office", *options)
    return office


def trust(office: Office, state: State, name: str) -> None:
    """Trust a station at an office."""
    office.run("station", "trust", name, state.ca_cert, "--fingerprint", own_fingerprint(state))


def own_fingerprint(state: State) -> str:
    """SHA-256 of the certificate by which a station's CA goes out."""
    tree = state.json("ca", "status").get("tree")
    return str(_issuing(tree[0])["fingerprint"] if tree else state.json("ca", "status")["ca_fingerprint"])


def _issuing(ca: dict[str, Any]) -> dict[str, Any]:
    return ca if ca["role"] == "issuing" else _issuing(ca["below"][0])


def journal(state: State, path: Path, since: int = 0, **options: Any) -> int:
    """Write a journal of a station behind a row of its trail, and return the row that it ends with."""
    return int(state.json("journal", "--out", path, "--since", str(since), **options)["until"])
