"""The file of a backup: nothing of it is used unless all of it is what was sealed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import pyzipper
from iotonboard.ca.backup_archive import open_archive
from iotonboard.ca.backup_manifest import Contents, Manifest, StoredFile
from iotonboard.ca.backup_seal import Keys, derive_keys, seal_file, unsealed_comment
from iotonboard.ca.backup_writer import write_archive
from iotonboard.ca.passphrase import Passphrase
from iotonboard.errors import BusyError, ConflictError, KeyUnavailableError, NotFoundError, PolicyError

from support.program import PROJECT
from support.tools import find, run_tool

PASSPHRASE = Passphrase(b"three words of mine")
KEYS = derive_keys(PASSPHRASE, bytes(16))
NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
FILES = {"devices.db": bytes(5000) + b"rows", "ca.key": b"a key", "iotonboard.toml": b"", "mosquitto.acl": b"topic x\n"}
CONTENTS = Contents(2, 7, 11, ("ca.key",), ("ab" * 32,), "11:AA")


def manifest_of(stored: tuple[StoredFile, ...]) -> Manifest:
    return Manifest("1.0.0", CONTENTS, stored)


def write(path: Path, files: dict[str, bytes] = FILES, now: datetime = NOW) -> Path:
    write_archive(str(path), files, manifest_of, PASSPHRASE, now, salt=bytes(16))
    return path


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("intact") / "b.zip").read_bytes()


def read_all(path: Path, secret: Passphrase | Keys = KEYS) -> dict[str, bytes]:
    with open_archive(str(path), secret) as archive:
        return {one.name: archive.read(one.name) for one in archive.manifest.files}


def test_gives_back_what_was_put_in(tmp_path: Path) -> None:
    path = write(tmp_path / "b.zip")
    assert read_all(path) == FILES
    with open_archive(str(path), PASSPHRASE) as archive:
        assert archive.manifest.contents == CONTENTS
        archive.extract("devices.db", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == FILES["devices.db"]
    assert (tmp_path / "x").stat().st_mode & 0o777 == path.stat().st_mode & 0o777 == 0o600


def test_every_entry_is_encrypted_and_opens_as_the_guide_says(intact: bytes, tmp_path: Path) -> None:
    """With two lines of Python and any program for AES archives."""
    (tmp_path / "b.zip").write_bytes(intact)
    (tmp_path / "ca.pass").write_bytes(PASSPHRASE.octets + b"\n")
    guide = (PROJECT / "iotonboard" / "guide" / "formats.md").read_text()
    code = guide.split("<<'EOF'\n")[1].split("EOF\n")[0]
    words = [sys.executable, "-", tmp_path / "ca.pass", "00" * 16]
    password = subprocess.run(words, input=code, capture_output=True, text=True, check=True).stdout.strip()
    with pyzipper.AESZipFile(tmp_path / "b.zip") as archive:
        archive.setpassword(password.encode())
        assert [entry.filename for entry in archive.infolist()] == ["backup.json", *FILES]
        assert all(entry.flag_bits & 1 for entry in archive.infolist())
        assert archive.read("devices.db") == FILES["devices.db"]
    if seven_zip := find("7zz") or find("7z"):
        run_tool(seven_zip, "x", f"-p{password}", f"-o{tmp_path / 'out'}", tmp_path / "b.zip")
        assert (tmp_path / "out" / "devices.db").read_bytes() == FILES["devices.db"]


@pytest.mark.parametrize("year", [1950, 1979, 2108, 9999])
def test_a_clock_outside_of_what_a_zip_can_date_is_no_obstacle(tmp_path: Path, year: int) -> None:
    assert read_all(write(tmp_path / "b.zip", now=NOW.replace(year=year))) == FILES


def _insert(entry: str, data: bytes) -> Callable[[bytes], bytes]:
    def change(octets: bytes) -> bytes:
        path = Path(os.environ.get("TMPDIR", "/tmp"), f"inserted-{os.getpid()}.zip")
        path.write_bytes(octets)
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")
            archive.writestr(entry, data)
        changed = path.read_bytes()
        path.unlink()
        return changed

    return change


def _set(octets: bytes, place: int, octet: int) -> bytes:
    return octets[:place] + bytes([octet]) + octets[place + 1 :]


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "an entry in the clear is added": _insert("iotonboard.toml", b'broker.reload = "command:x"'),
    "octets before it": lambda octets: b"#!/bin/sh\n" + octets,
    "octets behind it": lambda octets: octets + b"\n",
    "an octet between entries": lambda octets: octets[:200] + b"x" + octets[200:],
    "a shorter one": lambda octets: octets[:-1],
    "a flag of the directory": lambda octets: _set(octets, octets.index(b"PK\1\2") + 8, 0),
    "a date": lambda octets: octets[:10] + b"\0\0" + octets[12:],
    "another name": lambda octets: octets.replace(b"mosquitto.acl", b"mosquitto.acX"),
    "names exchanged": lambda octets: octets.replace(b"ca.key", b"cb.key"),
    "one round": lambda octets: octets.replace(b"iterations=600000", b"iterations=1"),
    "rounds for a year": lambda octets: octets.replace(b"iterations=600000", b"iterations=999999999"),
    "fewer rounds": lambda octets: octets.replace(b"iterations=600000", b"iterations=599999"),
    "other rounds": lambda octets: octets.replace(b"iterations=600000", b"iterations=600001"),
    "another salt": lambda octets: octets.replace(b"salt=0000", b"salt=0001"),
    "another seal": lambda octets: octets[:-64] + b"0" * 64,
    "no seal": lambda octets: octets[: octets.rindex(b" check=")],
    "called an earlier one": lambda octets: octets.replace(b"backup v2", b"backup v1"),
    "called a later one": lambda octets: octets.replace(b"backup v2", b"backup v3"),
    "nothing": lambda _: b"",
    "another file": lambda _: b"PK\3\4" + bytes(3000),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_whatever_is_changed_is_refused_without_the_passphrase(intact: bytes, tmp_path: Path, name: str) -> None:
    changed = TAMPERINGS[name](intact)
    assert changed != intact
    (tmp_path / "b.zip").write_bytes(changed)
    with pytest.raises((PolicyError, KeyUnavailableError)) as raised:
        read_all(tmp_path / "b.zip", PASSPHRASE)
    assert raised.value.hint


def test_any_octet_changed_anywhere_is_refused(intact: bytes, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Only those of the salt, the rounds and the check read like another passphrase."""
    dice = random.Random(14)  # noqa: S311 - which octets, and what they become
    places = range(len(intact)) if request.config.getoption("--long") else sorted(dice.sample(range(len(intact)), 60))
    for place in places:
        changed = bytearray(intact)
        changed[place] ^= dice.randrange(1, 256)
        (tmp_path / "b.zip").write_bytes(changed)
        expected = PolicyError if place < intact.rindex(b"iotonboard backup") else (PolicyError, KeyUnavailableError)
        with pytest.raises(expected):
            read_all(tmp_path / "b.zip")


def test_another_passphrase_is_told_from_damage(intact: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(intact)
    with pytest.raises(KeyUnavailableError, match="does not open this backup"):
        read_all(tmp_path / "b.zip", Passphrase(b"other words of mine"))
    with pytest.raises(NotFoundError, match="no backup"):
        read_all(tmp_path / "c.zip")
    with pytest.raises(NotFoundError, match="no backup"):
        read_all(tmp_path)


Change = Callable[[dict[str, bytes], list[dict[str, object]]], object]


def forge(path: Path, change: Change, *, is_encrypted: bool = True, twice: str = "") -> Path:
    """A backup by somebody who has the passphrase: its seal is right, and what it says is not what it holds."""
    files = dict(FILES)
    listed: list[dict[str, object]] = [
        {"name": name, "size": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
        for name, octets in files.items()
    ]
    change(files, listed)
    manifest = json.loads(manifest_of(()).to_json()) | {"files": listed}
    make = partial(pyzipper.AESZipFile, encryption=pyzipper.WZ_AES) if is_encrypted else zipfile.ZipFile
    with warnings.catch_warnings(), make(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        archive.setpassword(KEYS.password)
        archive.comment = unsealed_comment(bytes(16), KEYS)
        archive.writestr("backup.json", json.dumps(manifest))
        for name, octets in files.items():
            archive.writestr(name, octets)
        if twice:
            archive.writestr(twice, b"another")
    seal_file(str(path), KEYS)
    return path


FORGERIES: dict[str, Change] = {
    "a file that is not listed": lambda files, _: files.update({"ca-2.key": b"x"}),
    "a file that is missing": lambda files, _: files.pop("mosquitto.acl"),
    "another order": lambda files, _: files.update({"ca.key": files.pop("ca.key")}),
    "another content": lambda files, _: files.update({"mosquitto.acl": b"topic y\n"}),
    "another size": lambda _, listed: listed[3].update(size=7),
    "a huge file": lambda files, _: files.update({"devices.db": bytes(1 << 22)}),
    "a huge size": lambda _, listed: listed[0].update(size=1 << 60),
    "a digest that is none": lambda _, listed: listed[0].update(sha256=""),
    "a way out": lambda files, _: files.update({"../x": b"x"}),
    "a way out of a folder": lambda files, _: files.update({"brokers/../mosquitto.conf": b"x"}),
    "an absolute path": lambda files, _: files.update({"/etc/x": b"x"}),
    "no database": lambda files, _: files.pop("devices.db"),
    "no key": lambda files, _: files.pop("ca.key"),
    "no list": lambda _, listed: listed.clear(),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_the_manifest_does_not_list_is_refused_under_the_right_seal_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError):
        read_all(forge(tmp_path / "b.zip", FORGERIES[name]))


def test_entries_in_the_clear_or_twice_are_refused_under_the_right_seal_too(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="not encrypted as backups are"):
        read_all(forge(tmp_path / "b.zip", lambda *_: None, is_encrypted=False))
    with pytest.raises(PolicyError, match="do not belong"):
        read_all(forge(tmp_path / "c.zip", lambda *_: None, twice="ca.key"))
    assert read_all(forge(tmp_path / "d.zip", lambda *_: None)) == FILES


def test_nothing_is_left_of_one_that_cannot_be_written_or_read_back(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"mine")
    with pytest.raises(ConflictError):
        write(tmp_path / "b.zip")
    with pytest.raises(
        BusyError, match="could not be read back"
    ):  # a list that is not of these files, as from a bad disk
        write_archive(
            str(tmp_path / "c.zip"), FILES, lambda stored: manifest_of((replace(stored[0], size=1), *stored[1:])),
            PASSPHRASE, NOW, salt=bytes(16),
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]
    assert (tmp_path / "b.zip").read_bytes() == b"mine"
