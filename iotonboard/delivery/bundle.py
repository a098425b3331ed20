"""The credential bundle: a ZIP whose every entry is AES-256 encrypted (WinZip AE-2).

A bundle's password (derived in ``ca/vault.py``) carries 128 bits, so the low round count that the format fixes does not
matter. ``bundle_reader`` opens one again.
"""

from __future__ import annotations

import json
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.delivery.aes_zip import Entry, write_archive
from iotonboard.errors import PolicyError
from iotonboard.model import certificate_json

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential

SCHEMA = 1
KEY, CERTIFICATE, ANCHOR, MANIFEST = "device.key", "device.crt", "ca.crt", "manifest.json"


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
    entries = [
        Entry(name, content, stat.S_IFREG | (0o600 if name == KEY else 0o644)) for name, content in files.items()
    ]
    return write_archive(entries, password.encode("ascii"), credential.validity.not_before)


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
        **certificate_json(credential.serial, credential.validity, credential.fingerprint),
        "ca_fingerprint": credential.anchor_fingerprint,
        "files": {name: describe(data) for name, data in files.items()},
    }
    return json.dumps(manifest, indent=2).encode() + b"\n"


def describe(data: bytes) -> dict[str, str | int]:
    """Size and SHA-256 of a file, as the manifest lists them."""
    return {"sha256": sha256(data).hexdigest(), "size": len(data)}
