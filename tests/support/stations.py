"""A root and stations below it, as people make them with the program."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from iotonboard.pki import pem

from support.program import Result, State, make_state


@dataclass(frozen=True)
class Works:
    """A root, and the folder in which requests and answers are carried."""

    root: State
    stick: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root's certificate."""
        return fingerprint(pem.pem_decode_all("CERTIFICATE", self.root.ca_cert.read_bytes())[0])

    def request(self, station: State, name: str = "request") -> Path:
        """A request of a station."""
        path = self.stick / f"{name}.csr"
        path.unlink(missing_ok=True)
        station.run("ca", "request", "--out", path)
        return path

    def sign(self, request: Path, *options: str, **more: int) -> Path:
        """The root's answer to a request."""
        path = request.with_suffix(".answer")
        path.unlink(missing_ok=True)
        self.root.run("ca", "sign", request, "--out", path, *options, **more)
        return path

    def install(self, station: State, answer: Path, **more: int) -> Result:
        """Let a station take an answer."""
        return station.run("ca", "install", answer, "--fingerprint", self.fingerprint, **more)

    def certify(self, station: State, *options: str) -> Path:
        """All of it; returns the answer."""
        answer = self.sign(self.request(station), *options)
        self.install(station, answer)
        return answer


def make_works(folder: Path, *options: str) -> Works:
    """A root and an empty stick."""
    for name in ("root", "stick"):
        (folder / name).mkdir()
    return Works(make_state(folder / "root", "--root", "--common-name", "Works Root", *options), folder / "stick")


def make_station(folder: Path, name: str, *options: str) -> State:
    """A station that waits for its root, unless the options say otherwise."""
    folder.mkdir()
    return make_state(folder, *(options or ("--below-root",)), "--common-name", name)


def fingerprint(der: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(der).hexdigest()


def certificates(path: Path) -> list[x509.Certificate]:
    """All of a PEM file."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def names(path: Path) -> list[str]:
    """The subjects of a PEM file."""
    return [one.subject.rfc4514_string() for one in certificates(path)]
