"""Packages: ACL, CRL and CA file on their way to a broker's machine, in one file that the CA signed.

::

    iotonboard package v1
    {"counter":1795520932, ..., "files":[["crl.pem",1234,"<sha256>"], ...]}
    <signatures of the CAs, base64, separated by blanks>
    <the files' octets, one after the other>

The first two lines with their line feeds are what is signed (``pki/signatures.py``). Nothing of a package is
believed, and no more of it read than the first lines, before a pinned CA's signature over them holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.model import from_epoch, to_epoch
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds
from iotonboard.reading import read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.pki.signatures import Signer

LABEL = b"iotonboard package v1\n"
CRL, ACL, CA = "crl.pem", "mosquitto.acl", "ca.crt"
# A broker between two renames must meet nothing worse than a newer list beside an older ACL; and a CA whose
# CRL is not there yet would be refused with all its devices.
FILES = (CRL, ACL, CA)
_MAX_HEAD = 1 << 16
_MAX_SIGNATURES = 8
_HINT = "nothing was touched; copy the package again, or ask for a new one ('iotonboard pack')"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself. ``counter`` only ever rises; after ``expires`` the package is refused."""

    counter: int
    created: datetime
    not_before: datetime
    expires: datetime
    crl_number: int
    files: tuple[tuple[str, int, str], ...]

    def dump(self) -> bytes:
        """One line of canonical JSON: sorted keys, no blanks, ASCII."""
        values = {
            "counter": self.counter,
            "created": to_epoch(self.created),
            "not_before": to_epoch(self.not_before),
            "expires": to_epoch(self.expires),
            "crl_number": self.crl_number,
            "files": self.files,
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose signature and contents hold. ``digest`` names it: SHA-256 of what was signed."""

    manifest: Manifest
    digest: str
    files: Mapping[str, bytes]


def describe(files: Mapping[str, bytes]) -> tuple[tuple[str, int, str], ...]:
    """List the files of a package for its manifest: name, octets, SHA-256."""
    return tuple((name, len(files[name]), sha256(files[name]).hexdigest()) for name in FILES)


def render_package(manifest: Manifest, files: Mapping[str, bytes], signers: Iterable[Signer]) -> Iterator[bytes]:
    """Yield a package's octets; every CA signs, so that a broker's machine may pin any of them."""
    statement = LABEL + manifest.dump()
    yield statement
    yield b" ".join(base64.b64encode(sign_statement(signer, statement)) for signer in signers) + b"\n"
    for name in FILES:
        yield files[name]


def read_package(path: str, anchors: Sequence[bytes]) -> Package:
    """Read a package that one of the ``anchors`` (CA certificates, DER) signed.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: no package, of another CA, damaged, cut short, or longer than it says.
    """
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {path!r}", hint="check the name")
    pieces = read_pieces(path)
    statement, signatures, rest = _split_head(path, next(pieces, b""))
    if not any(statement_holds(anchor, statement, one) for anchor in anchors for one in signatures):
        raise PolicyError(
            f"{path!r} was not signed by the CA that is trusted here, or it was changed since",
            hint="check --ca: it must be the CA of the workstation that made the package; nothing was touched",
        )
    manifest = _load(path, statement)
    content = _read_content(path, rest, pieces, sum(size for _, size, _ in manifest.files))
    files, start = {}, 0
    for name, size, digest in manifest.files:
        files[name] = content[start : start + size]
        start += size
        if sha256(files[name]).hexdigest() != digest:
            raise PolicyError(f"{name} in {path!r} is damaged", hint=_HINT)
    return Package(manifest, sha256(statement).hexdigest(), files)


def _split_head(path: str, head: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Cut a package's first octets into what is signed, the signatures and what follows."""
    if not head.startswith(LABEL):
        newer = head.startswith(LABEL.partition(b"v1")[0])
        raise PolicyError(
            f"{path!r} was made by a newer version of iotonboard" if newer else f"{path!r} is not a package",
            hint="install that version; nothing was touched" if newer else _HINT,
        )
    lines = head[:_MAX_HEAD].split(b"\n", 3)
    if len(lines) < 4:
        raise PolicyError(f"{path!r} is cut short or damaged", hint=_HINT)
    label, manifest, words = lines[0], lines[1], lines[2].split(b" ", _MAX_SIGNATURES)
    try:
        signatures = [base64.b64decode(word) for word in words]
    except binascii.Error:
        signatures = []
    if [base64.b64encode(one) for one in signatures] != words:  # the last bits of the last letter count too
        raise PolicyError(f"the signature of {path!r} is damaged", hint=_HINT)
    statement = b"%b\n%b\n" % (label, manifest)
    return statement, signatures, head[len(statement) + len(lines[2]) + 1 :]


def _load(path: str, statement: bytes) -> Manifest:
    try:
        values = json.loads(statement[len(LABEL) :])
        created, not_before, expires = (from_epoch(values[name]) for name in ("created", "not_before", "expires"))
        files = tuple((str(name), int(size), str(digest)) for name, size, digest in values["files"])
        manifest = Manifest(int(values["counter"]), created, not_before, expires, int(values["crl_number"]), files)
    except (ValueError, KeyError, TypeError, OverflowError):
        manifest = None
    if manifest is None or tuple(name for name, _, _ in manifest.files) != FILES:
        raise PolicyError(f"{path!r} holds other things than this version knows", hint=_HINT)
    return manifest


def _read_content(path: str, start: bytes, pieces: Iterator[bytes], size: int) -> bytes:
    """Read exactly ``size`` octets; a file that goes on is not read to its end."""
    found, kept = len(start), [start]
    for piece in pieces:
        found += len(piece)
        if found > size:
            break
        kept.append(piece)
    if found != size:
        what = "is longer than it says" if found > size else "is cut short"
        raise PolicyError(f"{path!r} {what}", hint=_HINT)
    return b"".join(kept)
