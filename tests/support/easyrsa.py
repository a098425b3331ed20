"""A fleet that easy-rsa keeps: made by the real program, or as it was made once (``tests/vectors/easyrsa.tar.xz``)."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from support.client import Credentials
from support.tools import need

SECRET = "old secret of the plant"
VECTOR = Path(__file__).resolve().parents[1] / "vectors/easyrsa.tar.xz"
BEGIN = "2026-01-05 12:00:00"  # before any test runs, so that something has expired
REASONS = ("keyCompromise", "superseded", "cessationOfOperation", "unspecified")
_DAYS = "25000"


@dataclass(frozen=True)
class EasyRsa:
    """A PKI in a folder, with the names of its devices by what became of them."""

    folder: Path
    valid: tuple[str, ...]
    revoked: dict[str, str]
    expired: tuple[str, ...]

    @property
    def index(self) -> Path:
        return self.folder / "index.txt"

    def import_words(self) -> list[str]:
        """The options of ``init-ca`` that take its CA over; the passphrase's file is made."""
        secret = self.folder.parent / "old.pass"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        return ["--import-key", str(self.folder / "private/ca.key"), "--import-cert", str(self.folder / "ca.crt"),
                "--import-passphrase-file", str(secret)]  # fmt: skip

    def credentials(self, name: str, broker_ca: Path) -> Credentials:
        """What a device has; of the older one of a pair nothing is left."""
        return Credentials(name, broker_ca, self.folder / f"issued/{name}.crt", self.folder / f"private/{name}.key")


def names(count: int) -> list[str]:
    """MAC addresses, names with a blank and plain ones."""
    forms = ("AA:BB:CC:00:{0:02X}:{1:02X}", "pump-{2}", "Press {2}", "gateway_{2}.hall")
    return [forms[number % 4].format(number >> 8, number & 255, number) for number in range(count)]


def plan(count: int) -> tuple[list[str], dict[str, str], list[str]]:
    """The names, those that are revoked with why, and those that have expired."""
    every = names(count)
    revoked = {name: REASONS[at % 4] for at, name in enumerate(every[3::7])}
    return every, revoked, [name for name in every[5::13] if name not in revoked]


def make(folder: Path, count: int) -> EasyRsa:
    """Let easy-rsa make a CA and devices, of which some are revoked, expired, or a renewal of one that was."""
    program = need("easyrsa")
    environment = {
        **os.environ, "EASYRSA_BATCH": "1", "EASYRSA_ALGO": "ec", "EASYRSA_CURVE": "prime256v1",
        "EASYRSA_PKI": str(folder), "EASYRSA_PASSIN": f"pass:{SECRET}", "EASYRSA_PASSOUT": f"pass:{SECRET}",
        "EASYRSA_CA_EXPIRE": "30000", "EASYRSA_CERT_EXPIRE": _DAYS, "EASYRSA_CRL_DAYS": _DAYS,
    }  # fmt: skip

    def run(*words: str, **more: str) -> None:
        call = [need("faketime"), BEGIN, program, *words]
        subprocess.run(call, env=environment | more, check=True, capture_output=True, cwd=folder.parent, timeout=60)

    run("init-pki")
    run("build-ca", EASYRSA_REQ_CN="Old Plant CA")
    every, revoked, expired = plan(count)
    again = [*list(revoked)[:1], *expired[:1]]  # these got a new certificate since
    for name in every:
        run(*(["--days=1"] if name in expired else []), "build-client-full", name, "nopass")
        if name in revoked:
            run("revoke", name, revoked[name])
    for name in again:
        for part in ("issued/{}.crt", "private/{}.key", "reqs/{}.req"):
            (folder / part.format(name)).unlink(missing_ok=True)
        run("build-client-full", name, "nopass")
    run("build-server-full", "broker.plant", "nopass")
    run("gen-crl")
    return _known(folder, count)


def _known(folder: Path, count: int) -> EasyRsa:
    every, revoked, expired = plan(count)
    again = {*list(revoked)[:1], *expired[:1]}
    ended = {*revoked, *expired} - again
    return EasyRsa(
        folder,
        tuple(name for name in every if name not in ended),
        {name: reason for name, reason in revoked.items() if name not in again},
        tuple(name for name in expired if name not in again),
    )


COUNT = 40


def unpack(folder: Path) -> EasyRsa:
    """The fleet of ``COUNT`` devices as easy-rsa made it once."""
    with tarfile.open(VECTOR) as archive:
        archive.extractall(folder, filter="data")
    return _known(folder / "pki", COUNT)
