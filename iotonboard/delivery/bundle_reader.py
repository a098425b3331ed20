"""Opening a credential bundle again: decrypted with pyzipper, which did not write it, and checked in full."""

from __future__ import annotations

import io
import json
import re
import struct
from hashlib import sha256
from typing import Any

import pyzipper
from pyzipper import zipfile_aes

from iotonboard.delivery.bundle import ANCHOR, CERTIFICATE, KEY, MANIFEST, SCHEMA, describe
from iotonboard.delivery.bundle_layout import layout_problem
from iotonboard.errors import IotOnboardError, KeyUnavailableError, PolicyError, quoted
from iotonboard.ids import parse_id
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.keys import load_key, public_key_matches
from iotonboard.pki.pem import pem_decode_all

_MAX_BUNDLE_BYTES = 1 << 20  # a bundle with an RSA-4096 key and a chain of three is below 20 kB
_MAX_ENTRY_BYTES = 1 << 18
# What pyzipper raises on bytes that no ZIP program wrote: its own checks, and what lies below them.
_UNREADABLE = (
    pyzipper.BadZipFile, NotImplementedError, struct.error, EOFError, OSError, ValueError, KeyError, OverflowError,
    AttributeError, TypeError, MemoryError,
)  # fmt: skip
_AES_256 = 3  # the format's number for the strength
_LETTERS = re.compile("[0-9A-HJKMNP-TV-Z]{26}")  # of a password, which has no I, L, O and U
_MEANT = str.maketrans("OIL", "011")


def as_printed(password: str) -> str:
    """A password as it was printed, where it was typed in small letters, in other groups, or an O for a 0.

    Whatever cannot be one of this program's passwords stays as it is.
    """
    letters = re.sub(r"[\s\u2010-\u2014-]", "", password).upper().translate(_MEANT)
    if not _LETTERS.fullmatch(letters):
        return password
    return "-".join((*(letters[start : start + 5] for start in range(0, 20, 5)), letters[20:]))


def open_bundle(data: bytes, password: str) -> dict[str, bytes]:
    """Decrypt a bundle and check it against its manifest; return its files by name, manifest included.

    Names are from a fixed set, so they can be joined to a folder as they are. No octet of the file is without a
    meaning, and the files are one device's: its certificate, the key of that, and the CA that the manifest names.

    Raises:
        KeyUnavailableError: the password is wrong.
        PolicyError: the file is damaged, is not a bundle, or contains what a bundle does not.
    """
    check_bundle(data)
    try:
        with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
            files = _decrypt(archive, archive.infolist(), password)
    except _UNREADABLE as error:
        raise _damaged("it cannot be read as a ZIP archive") from error
    _check_device(files, _check_manifest(files))
    return files


def check_bundle(data: bytes) -> list[str]:
    """Refuse what no bundle is, as far as that can be seen without its password; returns the names of its files.

    Raises:
        PolicyError: the file is damaged, is not a bundle, or contains what a bundle does not.
    """
    if len(data) > _MAX_BUNDLE_BYTES:
        raise PolicyError(f"the file is larger than any bundle ({len(data)} bytes)")
    try:
        with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            if problem := layout_problem(data):
                raise _damaged(problem)
            return [entry.filename for entry in entries]
    except _UNREADABLE as error:
        raise _damaged("it cannot be read as a ZIP archive") from error


def _check_entries(entries: list[Any]) -> None:
    """Refuse whatever a bundle never holds, before a byte is decrypted."""
    names = [entry.filename for entry in entries]
    unknown = set(names) - {KEY, CERTIFICATE, ANCHOR, MANIFEST}
    if unknown:
        raise _damaged(f"it contains {quoted(min(unknown))}")
    if len(set(names)) != len(names):
        raise _damaged("it contains a file twice")
    if MANIFEST not in names:
        raise _damaged("it has no manifest")
    if not {CERTIFICATE, ANCHOR} <= set(names):
        raise _damaged("it lacks a certificate")
    for entry in entries:
        is_encrypted = entry.flag_bits & 1  # APPNOTE 4.4.4
        if not is_encrypted or (entry.wz_aes_version, entry.wz_aes_strength) != (zipfile_aes.WZ_AES_V2, _AES_256):
            raise _damaged(f"{entry.filename!r} is not encrypted as bundles are")
        if entry.compress_type != pyzipper.ZIP_STORED or entry.file_size > _MAX_ENTRY_BYTES:
            raise _damaged(f"{entry.filename!r} is compressed or too large")


def _decrypt(archive: Any, entries: list[Any], password: str) -> dict[str, bytes]:
    """Read every entry. One that authenticates proves the password, so the others' failures are damage.

    The format's password check has two bytes: one entry alone cannot tell a wrong password from damage.
    """
    try:
        archive.setpassword(password.encode("ascii"))
    except UnicodeEncodeError:
        raise _wrong_password() from None
    files: dict[str, bytes] = {}
    refused = broken = 0
    for entry in entries:
        try:
            files[entry.filename] = archive.read(entry)
        except _UNREADABLE:  # the HMAC differs, or the entry's own header
            broken += 1
        except RuntimeError:  # the two bytes differ
            refused += 1
    if refused and not files:
        raise _wrong_password()
    if refused or broken:
        raise _damaged("part of it fails its integrity check")
    return files


def _check_manifest(files: dict[str, bytes]) -> dict[str, Any]:
    """Hold names, sizes and digests against the manifest, which is returned."""
    try:
        manifest = dict(json.loads(files[MANIFEST]))
        schema, listed = manifest["schema"], dict(manifest["files"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged("its manifest cannot be read") from error
    if schema != SCHEMA:
        raise PolicyError(f"the bundle has schema {schema!r}", hint="open it with a newer iotonboard")
    if listed != {name: describe(data) for name, data in files.items() if name != MANIFEST}:
        raise _damaged("its files are not those of its manifest")
    return manifest


def _check_device(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    """Make sure that certificate, key and CA are those of the device that the manifest names."""
    try:
        device_id = parse_id(str(manifest.get("device_id")))
        leaf = pem_decode_all("CERTIFICATE", files[CERTIFICATE])[0]
        anchors = pem_decode_all("CERTIFICATE", files[ANCHOR])
        facts = certificate_facts(leaf)
        said = (manifest.get("serial"), manifest.get("fingerprint"))
        is_its_own = device_id in facts.device_names and said == (facts.serial.hex, facts.fingerprint)
        is_key_its_own = KEY not in files or public_key_matches(leaf, load_key(files[KEY], None))
    except IotOnboardError as error:
        raise _damaged(error.message) from error
    if not is_its_own:
        raise _damaged("its certificate is not that of its manifest")
    if not is_key_its_own:
        raise _damaged("its key does not belong to its certificate")
    if manifest.get("ca_fingerprint") not in {sha256(anchor).hexdigest() for anchor in anchors}:
        raise _damaged("its CA is not that of its manifest")


def _wrong_password() -> KeyUnavailableError:
    return KeyUnavailableError(
        "the password does not open this bundle",
        hint="'iotonboard bundle password ID' shows the password again",
    )


def _damaged(reason: str) -> PolicyError:
    return PolicyError(f"this is not an intact bundle: {reason}", hint="export the bundle again")
