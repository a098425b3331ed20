"""The credential bundle: a ZIP whose every entry is AES-256 encrypted (WinZip AE-2).

The format fixes PBKDF2-HMAC-SHA1 with 1000 rounds per entry, which is nearly all that a bundle costs;
the key stretching is therefore OpenSSL's. A bundle's password carries 128 bits, so the low round count
does not matter. Format: https://www.winzip.com/en/support/aes-encryption/
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any

from iotonboard.errors import KeyUnavailableError, PolicyError
from iotonboard.model import rfc3339

# Cryptodome, below pyzipper, prefers cffi's run-time C parser over ctypes when cffi is installed, as it is
# with cryptography. Parsing the declarations costs 30 ms per process; ctypes does the same calls without.
_CFFI = sys.modules.get("cffi")
sys.modules["cffi"] = None  # type: ignore[assignment]
try:
    import pyzipper
    from pyzipper import zipfile_aes
finally:
    if _CFFI is None:
        del sys.modules["cffi"]
    else:
        sys.modules["cffi"] = _CFFI

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.credential import Credential

SCHEMA = 1
KEY, CERTIFICATE, ANCHOR, MANIFEST = "device.key", "device.crt", "ca.crt", "manifest.json"

_MAX_BUNDLE_BYTES = 1 << 20  # a bundle with an RSA-4096 key and a chain of three is below 20 kB
_MAX_ENTRY_BYTES = 1 << 18
# What pyzipper raises on bytes that no ZIP program wrote: its own checks, and what lies below them.
_UNREADABLE = (pyzipper.BadZipFile, NotImplementedError, struct.error, EOFError, OSError, ValueError)
_PBKDF2_ROUNDS = 1000  # fixed by the format
_AES_256 = 3  # the format's number for the strength
_SALT_BYTES, _KEY_BYTES, _VERIFIER_BYTES = 16, 32, 2  # for AES-256


class _Encrypter(zipfile_aes.AESZipEncrypter):  # type: ignore[misc]
    """pyzipper's encrypter with the key stretching of OpenSSL, at half the time."""

    # Replaces the base's __init__, which stretches the key itself; sets what the base's methods read.
    def __init__(self, password: bytes) -> None:
        self.aes_strength = _AES_256
        self.force_wz_aes_version = zipfile_aes.WZ_AES_V2
        self.salt = os.urandom(_SALT_BYTES)
        stretched = hashlib.pbkdf2_hmac("sha1", password, self.salt, _PBKDF2_ROUNDS, 2 * _KEY_BYTES + _VERIFIER_BYTES)
        self.encpwdverify = stretched[2 * _KEY_BYTES :]
        counter = zipfile_aes.Counter.new(nbits=128, little_endian=True)
        self.encrypter = zipfile_aes.AES.new(stretched[:_KEY_BYTES], zipfile_aes.AES.MODE_CTR, counter=counter)
        self.hmac = hmac.new(stretched[_KEY_BYTES : 2 * _KEY_BYTES], digestmod="sha1")


class _Archive(pyzipper.AESZipFile):  # type: ignore[misc]
    def get_encrypter(self) -> _Encrypter:
        return _Encrypter(self.pwd)


def build_bundle(credential: Credential, password: str) -> bytes:
    """Pack a credential as an archive whose every entry is encrypted with ``password``.

    Entries: ``device.key`` (plain PKCS#8 PEM, absent when the device made its key), ``device.crt``,
    ``ca.crt`` and ``manifest.json``. Everything but the salts follows from the credential: the entries are
    stored in this order and dated with the certificate's notBefore.

    Raises:
        PolicyError: the password is empty or not printable ASCII (archive programs disagree on others).
    """
    if not (password and password.isascii() and password.isprintable()):
        raise PolicyError("a bundle's password must be printable ASCII text")
    files = _bundle_files(credential)
    files[MANIFEST] = _render_manifest(credential, files)
    target = io.BytesIO()
    with _Archive(target, "w", compression=pyzipper.ZIP_STORED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode("ascii"))
        for name, data in files.items():
            archive.writestr(_entry(name, credential.validity.not_before), data)
    return target.getvalue()


def open_bundle(data: bytes, password: str) -> dict[str, bytes]:
    """Decrypt a bundle and check it against its manifest; return its files by name, manifest included.

    Names are from a fixed set, so they can be joined to a folder as they are.

    Raises:
        KeyUnavailableError: the password is wrong.
        PolicyError: the file is damaged, is not a bundle, or contains what a bundle does not.
    """
    if len(data) > _MAX_BUNDLE_BYTES:
        raise PolicyError(f"the file is larger than any bundle ({len(data)} bytes)")
    try:
        with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            files = _decrypt(archive, entries, password)
    except _UNREADABLE as error:
        raise _damaged("it cannot be read as a ZIP archive") from error
    _check_manifest(files)
    return files


def _bundle_files(credential: Credential) -> dict[str, bytes]:
    files = {}
    if credential.key_pem is not None:
        files[KEY] = credential.key_pem
    files[CERTIFICATE] = credential.certificate_pem
    files[ANCHOR] = credential.anchor_pem
    return files


def _render_manifest(credential: Credential, files: dict[str, bytes]) -> bytes:
    manifest = {
        "schema": SCHEMA,
        "device_id": str(credential.device_id),
        "serial": credential.serial.hex,
        "not_before": rfc3339(credential.validity.not_before),
        "not_after": rfc3339(credential.validity.not_after),
        "fingerprint": credential.fingerprint,
        "ca_fingerprint": credential.anchor_fingerprint,
        "files": {name: _describe(data) for name, data in files.items()},
    }
    return json.dumps(manifest, indent=2).encode() + b"\n"


def _describe(data: bytes) -> dict[str, str | int]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _entry(name: str, moment: datetime) -> Any:
    # ZIP dates span 1980 to 2107; RFC 5280 ones reach from 1950 to 9999.
    date = moment.timetuple()[:6] if 1980 <= moment.year <= 2107 else (1980, 1, 1, 0, 0, 0)
    entry = pyzipper.zipfile_aes.AESZipInfo(name, date)
    entry.compress_type = pyzipper.ZIP_STORED
    entry.create_system = 3  # Unix on every platform, so that the mode below holds
    entry.external_attr = (stat.S_IFREG | (0o600 if name == KEY else 0o644)) << 16
    return entry


def _check_entries(entries: list[Any]) -> None:
    """Refuse whatever a bundle never holds, before a byte is decrypted."""
    names = [entry.filename for entry in entries]
    unknown = set(names) - {KEY, CERTIFICATE, ANCHOR, MANIFEST}
    if unknown:
        raise _damaged(f"it contains {min(unknown)[:80]!r}")
    if len(set(names)) != len(names):
        raise _damaged("it contains a file twice")
    if MANIFEST not in names:
        raise _damaged("it has no manifest")
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


def _check_manifest(files: dict[str, bytes]) -> None:
    try:
        manifest = json.loads(files[MANIFEST])
        schema, listed = manifest["schema"], dict(manifest["files"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged("its manifest cannot be read") from error
    if schema != SCHEMA:
        raise PolicyError(f"the bundle has schema {schema!r}", hint="open it with a newer iotonboard")
    if listed != {name: _describe(data) for name, data in files.items() if name != MANIFEST}:
        raise _damaged("its files are not those of its manifest")


def _wrong_password() -> KeyUnavailableError:
    return KeyUnavailableError(
        "the password does not open this bundle",
        hint="'iotonboard password ID' shows the password again",
    )


def _damaged(reason: str) -> PolicyError:
    return PolicyError(f"this is not an intact bundle: {reason}", hint="export the bundle again")
