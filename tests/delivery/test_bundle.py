"""The encrypted bundle: what is in it, what opens it, what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import pyzipper
from iotonboard.delivery import aes_zip
from iotonboard.delivery.bundle import build_bundle, describe
from iotonboard.delivery.bundle_reader import open_bundle
from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import Validity
from iotonboard.pki.pem import pem_encode
from pyzipper import zipfile_aes

from support.credentials import key_der, make_credential

PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def data() -> bytes:
    return build_bundle(make_credential(), PASSWORD)


def make_foreign(files: dict[str, bytes], *, nbits: int = 256, compression: int = pyzipper.ZIP_STORED) -> bytes:
    """An archive of someone else, under the right password."""
    target = io.BytesIO()
    with pyzipper.AESZipFile(target, "w", compression=compression, encryption=pyzipper.WZ_AES) as aes_zip:
        aes_zip.encryption_kwargs = {"nbits": nbits, "force_wz_aes_version": 2}
        aes_zip.setpassword(PASSWORD.encode())
        for name, content in files.items():
            aes_zip.writestr(name, content)
    return target.getvalue()


def test_holds_key_certificates_and_manifest(data: bytes) -> None:
    credential = make_credential()
    files = open_bundle(data, PASSWORD)
    manifest = json.loads(files.pop("manifest.json"))

    assert files == {
        "device.key": credential.key_pem,
        "device.crt": credential.certificate_pem,
        "ca.crt": credential.anchor_pem,
    }
    assert manifest == {
        "schema": 1,
        "device_id": "sensor-0.1_A",
        "serial": "0C0FFEE0000000000000000000000000000000FF",
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2049-12-31T23:59:59Z",
        "fingerprint": hashlib.sha256(credential.certificate_der).hexdigest(),
        "ca_fingerprint": hashlib.sha256(credential.chain[-1]).hexdigest(),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in files.items()
        },
    }


def test_has_no_key_when_the_device_made_it() -> None:
    files = open_bundle(build_bundle(make_credential(with_key=False), PASSWORD), PASSWORD)
    assert list(files) == ["device.crt", "ca.crt", "manifest.json"]
    assert list(json.loads(files["manifest.json"])["files"]) == ["device.crt", "ca.crt"]


def test_intermediate_issuers_go_with_the_device_certificate() -> None:
    credential = make_credential(with_factory=True)
    files = open_bundle(build_bundle(credential, PASSWORD), PASSWORD)
    assert files["device.crt"].count(b"BEGIN CERTIFICATE") == 2
    assert files["ca.crt"] == make_credential().anchor_pem


def test_every_entry_is_ae2_aes_256_and_stored(data: bytes) -> None:
    """Read from the bytes of the local headers (APPNOTE 4.3.7 and the AES extra field)."""
    names, offset = [], 0
    while data[offset : offset + 4] == b"PK\x03\x04":
        flags, method = struct.unpack_from("<HH", data, offset + 6)
        crc, size, _, name_length, extra_length = struct.unpack_from("<IIIHH", data, offset + 14)
        name = data[offset + 30 : offset + 30 + name_length]
        extra = data[offset + 30 + name_length : offset + 30 + name_length + extra_length]
        assert flags == 1, "encrypted, sizes in the header"
        assert method == 99
        assert crc == 0, "AE-2 hides the CRC"
        assert struct.unpack("<HHH2sBH", extra) == (0x9901, 7, 2, b"AE", 3, 0)
        names.append(name)
        offset += 30 + name_length + extra_length + size
    assert names == [b"device.key", b"device.crt", b"ca.crt", b"manifest.json"]
    assert b"BEGIN" not in data


def test_modes_and_times_come_from_the_credential(data: bytes) -> None:
    with pyzipper.AESZipFile(io.BytesIO(data)) as aes_zip:
        entries = aes_zip.infolist()
    assert {entry.date_time for entry in entries} == {(2026, 1, 1, 0, 0, 0)}
    assert {entry.create_system for entry in entries} == {3}
    assert [oct(entry.external_attr >> 16) for entry in entries] == ["0o100600"] + ["0o100644"] * 3


@pytest.mark.parametrize("year", [1979, 2108])
def test_dates_that_zip_cannot_write_become_1980(year: int) -> None:
    moments = Validity(datetime(year, 5, 1, tzinfo=UTC), datetime(year + 1, 5, 1, tzinfo=UTC))
    data = build_bundle(dataclasses.replace(make_credential(), validity=moments), PASSWORD)
    with pyzipper.AESZipFile(io.BytesIO(data)) as aes_zip:
        assert {entry.date_time for entry in aes_zip.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    open_bundle(data, PASSWORD)


def test_only_the_salts_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_bundle(make_credential(), PASSWORD) != build_bundle(make_credential(), PASSWORD)
    salts: list[bytes] = []

    def counted(size: int) -> bytes:
        salts.append(len(salts).to_bytes(size))
        return salts[-1]

    monkeypatch.setattr(aes_zip.os, "urandom", counted)
    first = build_bundle(make_credential(), PASSWORD)
    assert [len(salt) for salt in salts] == [16] * 4
    salts.clear()
    assert build_bundle(make_credential(), PASSWORD) == first


@pytest.mark.parametrize("password", ["", "pässword", "line\nend", "tab\t"])
def test_refuses_passwords_that_archive_programs_read_differently(password: str) -> None:
    with pytest.raises(PolicyError):
        build_bundle(make_credential(), password)


@pytest.mark.parametrize("password", ["wrong", "", "pässword", "x" * 1000])
def test_wrong_password(data: bytes, password: str) -> None:
    with pytest.raises(KeyUnavailableError) as raised:
        open_bundle(data, password)
    assert raised.value.exit_code == 7
    assert raised.value.hint


def test_wrong_password_that_passes_one_short_check(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format's check has two bytes: one wrong password in 65 536 passes it for an entry."""
    first_salt = data[30 + len("device.key") + 11 :][:16]

    def lucky(password: bytes, salt: bytes, count: int, dkLen: int) -> bytes:  # noqa: N803
        right = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt, count, dkLen)
        return bytes(64) + (right[64:] if salt == first_salt else bytes(2))

    monkeypatch.setattr(zipfile_aes, "PBKDF2", lucky)
    with pytest.raises(KeyUnavailableError):
        open_bundle(data, "wrong")


def test_damage_is_never_passed_on_and_never_a_crash(data: bytes, request: pytest.FixtureRequest) -> None:
    """Any one byte changed: the same files, or an error of the program's own."""
    intact = open_bundle(data, PASSWORD)
    step = 1 if request.config.getoption("--long") else 29
    refused = 0
    for position in range(0, len(data), step):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            assert open_bundle(bytes(damaged), PASSWORD) == intact
        except (PolicyError, KeyUnavailableError):
            refused += 1
    assert refused > len(data) // step * 0.8, "only dates, modes and the like may be anything"


def test_damage_to_one_entry_is_not_taken_for_a_wrong_password(data: bytes) -> None:
    damaged = bytearray(data)
    damaged[30 + len("device.key") + 11] ^= 1  # the first entry's salt: its password check fails
    with pytest.raises(PolicyError, match="not an intact bundle"):
        open_bundle(bytes(damaged), PASSWORD)


def test_truncation_is_refused(data: bytes) -> None:
    for length in itertools.chain(range(0, len(data), 97), (len(data) - 1,)):
        with pytest.raises(PolicyError):
            open_bundle(data[:length], PASSWORD)


@pytest.mark.parametrize(
    "name",
    ["../device.key", "/etc/passwd", "sub/device.key", "..\\device.key", "DEVICE.KEY", "device.key ", "x"],
)
def test_refuses_other_names(data: bytes, name: str) -> None:
    files = open_bundle(data, PASSWORD)
    with pytest.raises(PolicyError, match="it contains"):
        open_bundle(make_foreign({**files, name: b"x"}), PASSWORD)


def change_manifest(of: dict[str, bytes], **changes: object) -> bytes:
    return json.dumps({**json.loads(of["manifest.json"]), **changes}).encode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda files: {"device.crt": files["ca.crt"]}, id="other content"),
        pytest.param(lambda files: {"ca.crt": None}, id="missing file"),
        pytest.param(lambda files: {"manifest.json": None}, id="no manifest"),
        pytest.param(lambda files: {"manifest.json": b"{"}, id="no JSON"),
        pytest.param(lambda files: {"manifest.json": b"[]"}, id="no object"),
        pytest.param(lambda files: {"manifest.json": b"[" * 100_000}, id="deeply nested"),
        pytest.param(lambda files: {"manifest.json": change_manifest(files, files=[1])}, id="no names"),
        pytest.param(lambda files: {"manifest.json": change_manifest(files, files={})}, id="no files"),
    ],
)
def test_refuses_what_the_manifest_does_not_vouch_for(
    data: bytes, change: Callable[[dict[str, bytes]], dict[str, bytes | None]]
) -> None:
    files = open_bundle(data, PASSWORD)
    changed = {name: content for name, content in {**files, **change(files)}.items() if content is not None}
    with pytest.raises(PolicyError, match="not an intact bundle"):
        open_bundle(make_foreign(changed), PASSWORD)


def test_opens_whatever_wrote_the_same_files(data: bytes) -> None:
    files = open_bundle(data, PASSWORD)
    assert open_bundle(make_foreign(files), PASSWORD) == files


def test_a_newer_schema_says_so(data: bytes) -> None:
    files = open_bundle(data, PASSWORD)
    files["manifest.json"] = files["manifest.json"].replace(b'"schema": 1', b'"schema": 2')
    with pytest.raises(PolicyError, match="schema 2") as raised:
        open_bundle(make_foreign(files), PASSWORD)
    assert "newer" in raised.value.hint


def test_refuses_other_archives(data: bytes) -> None:
    files = open_bundle(data, PASSWORD)
    plain = io.BytesIO()
    with pyzipper.ZipFile(plain, "w") as aes_zip:
        for name, content in files.items():
            aes_zip.writestr(name, content)
    twice = io.BytesIO(make_foreign(files))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pyzipper.AESZipFile(twice, "a", encryption=pyzipper.WZ_AES) as aes_zip:
            aes_zip.setpassword(PASSWORD.encode())
            aes_zip.writestr("device.key", b"another")
    newer = bytearray(data)
    newer[data.index(b"PK\x01\x02") + 6] = 255  # the version of ZIP needed to read an entry
    unflagged = bytearray(data)
    unflagged[data.index(b"PK\x01\x02") + 8] = 0  # says that the entry is not encrypted
    for foreign, reason in {
        b"": "cannot be read",
        b"PK": "cannot be read",
        bytes(3000): "cannot be read",
        bytes(newer): "cannot be read",
        bytes(unflagged): "not encrypted as bundles are",
        plain.getvalue(): "not encrypted as bundles are",
        twice.getvalue(): "a file twice",
        make_foreign(files, nbits=128): "not encrypted as bundles are",
        make_foreign(files, compression=pyzipper.ZIP_DEFLATED): "compressed or too large",
        make_foreign({**files, "ca.crt": bytes(1 << 19)}): "compressed or too large",
        data + bytes(1 << 20): "larger than any bundle",
    }.items():
        with pytest.raises(PolicyError, match=reason):
            open_bundle(foreign, PASSWORD)


def test_no_octet_is_left_over(data: bytes) -> None:
    """A ZIP library takes no notice of what these add: two programs might read two things in one file."""
    directory = data.index(b"PK\1\2")
    second = data.index(b"PK\3\4", 4)
    end = data.rindex(b"PK\5\6")

    def moved(by: int, *, begin: int, size: int = 0) -> bytes:
        """An end record for a directory that begins, or is longer, by so many octets."""
        fields = list(struct.unpack("<4s4HLLH", data[end:]))
        fields[6] += by if begin else 0
        fields[5] += size
        return struct.pack("<4s4HLLH", *fields)

    def with_places(octets: bytes, by: int, *, after: int) -> bytes:
        """The directory of an archive in whose entries something was put in."""
        listing, at = bytearray(octets), 0
        while at < len(listing):
            (place,) = struct.unpack_from("<L", listing, at + 42)
            struct.pack_into("<L", listing, at + 42, place + by if place >= after else place)
            at += 46 + sum(struct.unpack_from("<3H", listing, at + 28))
        return bytes(listing)

    listing = data[directory:end]
    reasons = "there is something|end as bundles do|own header differ|lacks an entry|cannot be read as a ZIP"
    local_date = bytearray(data)
    local_date[second + 10] ^= 1
    for changed in (
        b"x" + data,
        data + b"x",
        data[:-2] + b"\1\0x",
        b"in" + data[:directory] + with_places(listing, 2, after=0) + moved(2, begin=1),
        data[:second] + b"in" + data[second:directory] + with_places(listing, 2, after=second) + moved(2, begin=1),
        data[:directory] + b"in" + listing + moved(2, begin=1),
        data[:end] + b"in" + data[end:],
        data[:end] + b"in" + moved(0, begin=0, size=2),
        bytes(local_date),
    ):
        with pytest.raises(PolicyError, match=reasons):
            open_bundle(changed, PASSWORD)


def test_refuses_files_that_are_not_one_devices(data: bytes) -> None:
    files = open_bundle(data, PASSWORD)
    factory_key = pem_encode("PRIVATE KEY", key_der("root"))
    for changes, says, reason in (
        ({"device.key": factory_key}, {}, "its key does not belong to its certificate"),
        ({"device.crt": files["ca.crt"]}, {}, "not that of its manifest"),
        ({"ca.crt": files["device.crt"]}, {}, "its CA is not that"),
        ({}, {"device_id": "another"}, "not that of its manifest"),
        ({}, {"device_id": "../x"}, "not a device id"),
        ({}, {"device_id": None}, "not that of its manifest"),
        ({}, {"fingerprint": "00"}, "not that of its manifest"),
        ({"device.crt": b"no certificate"}, {}, "no 'CERTIFICATE' block"),
        ({"device.key": b"no key"}, {}, "not a private key"),
    ):
        changed: dict[str, bytes] = {**files, **changes}
        listed = {name: describe(content) for name, content in changed.items() if name != "manifest.json"}
        changed["manifest.json"] = change_manifest(files, files=listed, **says)
        with pytest.raises(PolicyError, match=reason):
            open_bundle(make_foreign(changed), PASSWORD)


def test_stretches_each_key_once_and_with_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    real = aes_zip.PBKDF2HMAC

    def counted(algorithm: object, length: int, salt: bytes, rounds: int) -> object:
        calls.append((type(algorithm).__name__, rounds, length))
        return real(algorithm, length, salt, rounds)

    monkeypatch.setattr(aes_zip, "PBKDF2HMAC", counted)
    monkeypatch.setattr(zipfile_aes, "PBKDF2", None)
    build_bundle(make_credential(), PASSWORD)
    assert calls == [("SHA1", 1000, 66)] * 4


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4100])
def test_entries_are_encrypted_as_pyzipper_does(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    salt, content = bytes(range(16)), bytes(range(256)) * 20
    monkeypatch.setattr(aes_zip.os, "urandom", lambda octets: salt[:octets])
    monkeypatch.setattr(zipfile_aes.Random, "new", lambda: io.BytesIO(salt))
    theirs = zipfile_aes.AESZipEncrypter(PASSWORD.encode(), nbits=256, force_wz_aes_version=2)
    expected = theirs.encryption_header() + theirs.encrypt(content[:size]) + theirs.flush()
    assert aes_zip._encrypt(content[:size], PASSWORD.encode()) == expected


def test_making_a_bundle_loads_no_archive_library() -> None:
    libraries = "{'pyzipper', 'zipfile', 'Cryptodome', 'cffi'}"
    code = f"import sys, iotonboard.delivery.bundle; assert not {libraries} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
