"""The file that ``backup`` makes and ``restore`` opens: an AES-256 ZIP, so that it can be opened without this program.

ZIP's own key derivation is weak; therefore the archive's password is derived from the passphrase by
PBKDF2-HMAC-SHA256 with the rounds and salt that the archive's comment names, 128 bits spelled as ``vault.spell`` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import pyzipper

from iotonboard.ca.vault import spell
from iotonboard.errors import KeyUnavailableError, PolicyError, UsageError
from iotonboard.files import PRIVATE, replacing
from iotonboard.pki.keys import HUMAN_ITERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iotonboard.ca.passphrase import Passphrase

DATABASE, CONFIG, ACL = "devices.db", "iotonboard.toml", "mosquitto.acl"
_MANIFEST = "backup.json"
_COMMENT = re.compile(rb"iotonboard backup v1 salt=([0-9a-f]{32}) iterations=([1-9][0-9]{0,6})")
_KEY = re.compile(r"ca[A-Za-z0-9.-]{0,80}\.key")
_CHUNK = 1 << 20


def write_archive(
    path: str, files: Mapping[str, str], manifest: Mapping[str, object], passphrase: Passphrase, *, salt: bytes
) -> None:
    """Write ``files``, name in the archive -> path, with a manifest; ``salt`` has 16 octets. Whole or not at all.

    Raises:
        BusyError: the disk refuses.
    """
    iterations = 1 if passphrase.is_random_key else HUMAN_ITERATIONS
    comment = b"iotonboard backup v1 salt=%s iterations=%d" % (salt.hex().encode("ascii"), iterations)
    with (
        replacing(path, PRIVATE) as file,
        pyzipper.AESZipFile(file, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive,
    ):
        archive.setpassword(_password(comment, passphrase))
        archive.comment = comment
        archive.writestr(_MANIFEST, json.dumps(manifest))
        for name, source in files.items():
            archive.write(source, name)


@contextlib.contextmanager
def open_archive(path: str, passphrase: Passphrase) -> Iterator[Any]:
    """Open a backup for ``extract``.

    Raises:
        UsageError: there is no such file.
        KeyUnavailableError: the passphrase does not open it.
        PolicyError: it is damaged, or no backup.
    """
    if not os.path.isfile(path):
        raise UsageError(f"there is no backup {path!r}", hint="check the file's name")
    try:
        with pyzipper.AESZipFile(path) as archive:
            archive.setpassword(_password(archive.comment, passphrase))
            yield archive
    except pyzipper.BadZipFile as error:
        raise PolicyError(f"{path!r} is damaged: {error}", hint="use another copy of the backup") from None
    except RuntimeError as error:
        raise KeyUnavailableError(
            "the passphrase does not open this backup", hint="use the passphrase that the CA had when it was made"
        ) from error


def names_in(archive: Any) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names of all files of an open backup, and of its CA keys among them.

    Raises:
        PolicyError: it holds files that do not belong there.
    """
    names = archive.namelist()
    keys = tuple(name for name in names if _KEY.fullmatch(name))
    if len(set(names)) != len(names) or set(names) - {_MANIFEST, DATABASE, CONFIG, ACL, *keys} or not keys:
        raise PolicyError("the backup holds files that do not belong there", hint="use another copy of the backup")
    return frozenset(names), keys


def extract(archive: Any, name: str, path: str) -> None:
    """Write one file of an open backup to ``path``, readable by its owner alone.

    Raises:
        BusyError: the disk refuses.
    """
    with archive.open(name) as source, replacing(path, PRIVATE) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _password(comment: bytes, passphrase: Passphrase) -> bytes:
    match = _COMMENT.fullmatch(comment)
    if match is None:
        raise PolicyError("this is not a backup that 'iotonboard backup' made", hint="check the file's name")
    salt, iterations = bytes.fromhex(match[1].decode("ascii")), int(match[2])
    return spell(hashlib.pbkdf2_hmac("sha256", passphrase.octets, salt, iterations, 16)).encode("ascii")
