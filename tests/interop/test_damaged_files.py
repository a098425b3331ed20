"""Files as they arrive, hundreds of them: what ``verify`` says of a broker that has them, and what Mosquitto does.

Each file is tried by brokers of its own, at a reload and at a start.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from support.broker import release
from support.listeners import Listeners
from support.program import run_cli
from support.situations.damage import CHANGES, random_changes
from support.strange import Made, make_ca, make_crl, make_device, pem

SEED = 20261126
SERVER = ("broker.crt", "broker.key")
DEVICES = ("good", "gone")
# The file, and how often it is changed by chance, beside the changes of the table: every second one for the server's.
FILES = {"crl.pem": 16, "ca.crt": 12, "broker.crt": 6, "broker.key": 6}


class Scene:
    """A CA with a device that is good and one that is gone, and a broker's files."""

    def __init__(self, folder: Path, server: Mapping[str, bytes]) -> None:
        ca = make_ca("CA")
        devices = {name: make_device(ca, name) for name in DEVICES}
        self.files = {**server, "ca.crt": ca.pem, "crl.pem": make_crl(ca, devices["gone"])}
        self.folder = folder
        for name, one in devices.items():
            self._write(name, one)

    def _write(self, name: str, one: Made) -> None:
        (self.folder / f"{name}.crt").write_bytes(one.pem)
        (self.folder / f"{name}.key").write_bytes(one.key_pem)

    def attempt(self, folder: Path, files: Mapping[str, bytes | None]) -> str:
        """Try files at a reload and at a start; empty where ``verify`` said what comes."""
        broker = Listeners(folder, files=self.files)
        broker.place("all")
        try:
            assert broker.start(), broker.log
            broker.put("all", files)
            broker.reload()
            at_reload = self.ask_broker(broker)
            broker.stop()
            broker.start()
            done = self.ask_broker(broker), at_reload
        finally:
            broker.stop()
        said = self.ask_verify(broker)
        return "" if said == done else f"said {said}, done {done}"

    def ask_broker(self, broker: Listeners) -> dict[str, bool]:
        places = {one: (self.folder / f"{one}.crt", self.folder / f"{one}.key") for one in DEVICES}
        return {one: broker.is_running() and broker.lets_in("all", *place) for one, place in places.items()}

    def ask_verify(self, broker: Listeners) -> tuple[dict[str, bool], dict[str, bool]]:
        """What it says of the devices at a start and at a reload."""
        certs = [word for one in DEVICES for word in ("--cert", self.folder / f"{one}.crt")]
        version = f"mosquitto-{release()}"
        done = run_cli("verify", "--conf", broker.conf, *certs, "--broker", version, "--json", expect=(0, 9)).json
        return tuple(
            {one["device_id"]: one[event]["accepted"] for one in done["devices"]} for event in ("at_start", "at_reload")
        )


@pytest.fixture
def scene(tmp_path: Path, server: Mapping[str, bytes]) -> Scene:
    return Scene(tmp_path, server)


def differing(scene: Scene, folder: Path, tried: Mapping[str, Mapping[str, bytes | None]]) -> list[str]:
    """Try sets of files side by side; name those where ``verify`` said something else than came."""
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(scene.attempt, (folder / f"{number:03}" for number in range(len(tried))), tried.values())
        return [f"{name}: {one}" for name, one in zip(tried, found, strict=True) if one]


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_does_what_verify_tells(scene: Scene, tmp_path: Path, file: str) -> None:
    known = list(CHANGES.items())[:: 2 if file in SERVER else 1]
    changes = {**dict(known), **dict(random_changes(SEED, FILES[file]))}
    found = differing(scene, tmp_path, {name: {file: change(scene.files[file])} for name, change in changes.items()})
    assert found == [], "\n".join(found)


def _pairs(server: Mapping[str, bytes]) -> dict[str, tuple[bytes, bytes]]:
    ca, other = make_ca("CA"), make_ca("another", key="2048")
    one, weak, long = make_device(ca, "a"), make_device(ca, "b", key="1024"), make_device(ca, "c", key="2048")
    sha1, expired = make_device(other, "d", sha1=True), make_device(ca, "e", days=(-9, -1))
    certificate, key = server["broker.crt"], server["broker.key"]
    traditional = one.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    encrypted = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    return {
        "another key": (certificate, one.key_pem),
        "a key of another type": (certificate, long.key_pem),
        "RSA": (long.pem, long.key_pem),
        "RSA too short": (weak.pem, weak.key_pem),
        "signed with SHA-1": (sha1.pem, sha1.key_pem),
        "expired": (expired.pem, expired.key_pem),
        "a device's": (one.pem, one.key_pem),
        "with its CA": (one.pem + ca.pem, one.key_pem),
        "behind its CA": (ca.pem + one.pem, one.key_pem),
        "with another certificate": (one.pem + weak.pem, one.key_pem),
        "the key of older programs": (one.pem, traditional),
        "a key with parameters": (one.pem, PARAMETERS + traditional),
        "the key encrypted": (one.pem, encrypted),
        "the key alone": (key, key),
        "the certificate alone": (certificate, certificate),
        "both in both": (key + certificate, certificate + key),
        "a list beside it": (make_crl(ca) + certificate, key),
        "a damaged list beside it": (certificate + pem("X509 CRL", b"0"), key),
        "two keys": (certificate, one.key_pem + key),
        "a public key": (
            certificate,
            one.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ),
        "exchanged": (key, certificate),
        "trusted": (pem("TRUSTED CERTIFICATE", one.der), one.key_pem),
    }


PARAMETERS = pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))


def test_certificate_and_key_do_what_verify_tells(scene: Scene, tmp_path: Path, server: Mapping[str, bytes]) -> None:
    tried = {name: dict(zip(SERVER, pair, strict=True)) for name, pair in _pairs(server).items()}
    found = differing(scene, tmp_path, tried)
    assert found == [], "\n".join(found)


# A file of a listener, or its folder (""), and its mode; all are root's, and the broker is not.
RIGHTS = [(file, mode) for file in ("", *FILES) for mode in (0o700, 0o751)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changes users: needs root")
def test_a_file_that_is_closed_to_the_broker_does_what_verify_tells(scene: Scene, folder: Path) -> None:
    found = []
    for number, (file, mode) in enumerate(RIGHTS):
        broker = Listeners(folder / f"{number}", files=scene.files, user="nobody")
        place = broker.place("all") / file
        try:
            assert broker.start(), broker.log
            place.chmod(mode & ~0o050 if file else mode)
            broker.reload()
            at_reload = scene.ask_broker(broker)
            broker.stop()
            broker.start()
            done = scene.ask_broker(broker), at_reload
        finally:
            broker.stop()
        if (said := scene.ask_verify(broker)) != done:
            found.append(f"{file} {mode:o}: said {said}, done {done}")
    assert found == [], "\n".join(found)
