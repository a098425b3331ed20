"""Packages: ACL, CRL and CA file on their way to a broker's machine, in one file that the CA signed.

::

    iotonboard package v2
    {"counter":1795520932, ..., "files":[["crl.pem",1234,"<sha256>"], ...]}
    <signatures of the CAs, and certificates of those with a CA above them, base64, separated by blanks>
    <the files' octets, one after the other>

The first two lines with their line feeds are what is signed (``pki/signatures.py``). Nothing of a package is
believed, and no more of it read than the first lines, before the signature over them holds of a pinned CA, or of one
whose certificate leads to a pinned CA: whoever pins a root takes the packages of its stations.

Form 1 lacks what form 2 says of each CA, and so why a serial left a list, which CAs go, and which change of the ACL it
has. Form 3 is an office's: it speaks for the CAs of its stations, none of which signs it. The label carries the form.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.broker.ca_relations import key_of, vouched
from iotonboard.broker.office_part import OfficePart, parse_office_part
from iotonboard.broker.own_certificate import is_own_file
from iotonboard.disk.reading import check_file, read_pieces
from iotonboard.errors import PolicyError
from iotonboard.model import from_epoch, to_epoch
from iotonboard.pki.key_id import key_id
from iotonboard.pki.pem import pem_blocks
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Version
    from iotonboard.pki.signatures import Signer

LABEL = b"iotonboard package v1\n"
LABELS = {1: LABEL, 2: b"iotonboard package v2\n", 3: b"iotonboard package v3\n"}
NEWEST_FORMAT = 2  # of a station
OFFICE_FORMAT = 3
CRL, ACL, CA = "crl.pem", "mosquitto.acl", "ca.crt"
# A broker between two renames must meet nothing worse than a newer list beside an older ACL; and a CA whose
# CRL is not there yet would be refused with all its devices.
FILES = (CRL, ACL, CA)
_MAX_HEAD = {1: 1 << 16, 2: 1 << 26, 3: 1 << 28}  # octets, with every serial that left a list
_MAX_SIGNATURES = 16  # words of that line
_HINT = "nothing was touched; copy the package again, or ask for a new one ('iotonboard pack')"


@dataclass(frozen=True, slots=True)
class IssuerPart:
    """One CA of a package: SHA-256 of its certificate, number of its CRL in force, and which serials left its lists.

    ``left`` maps a serial, upper-case hex, to the reason: ``expired`` or ``released``.
    """

    certificate: str
    crl_number: int
    left: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself.

    ``counter`` only ever rises, for the CA ``key`` (``pki.key_id``) that issues. ``gone`` are CAs that are to go from
    the broker (SHA-256, or by their keys; of an office its machines too). ``acl_change`` is the number of the ACL's
    change; its region is a later one of those below the number ``acl_floor`` and of those of ``acl_before`` (number,
    row of the trail and mark; see ``region.Change``), and ``denied`` are the devices whose access it takes away.
    ``broker_version`` is the release of the broker that the workstation knows of. Form 1 has none of what ``format``
    stands before. ``office`` is what an office says beside, and ``key`` then that of the certificate by which it is
    pinned.
    """

    counter: int
    created: datetime
    not_before: datetime
    expires: datetime
    crl_number: int
    files: tuple[tuple[str, int, str], ...]
    format: int = 1
    key: str = ""
    issuers: tuple[IssuerPart, ...] = ()
    gone: tuple[str, ...] = ()
    acl_change: int = 0
    acl_floor: int = 0
    acl_before: tuple[tuple[int, int, str], ...] = ()
    denied: tuple[str, ...] = ()
    broker_version: Version = "2.0"
    office: OfficePart | None = None

    def statement(self) -> bytes:
        """What is signed: the label of the form, and one line of canonical JSON: sorted keys, no blanks, ASCII."""
        values: dict[str, object] = {
            "counter": self.counter,
            "created": to_epoch(self.created),
            "not_before": to_epoch(self.not_before),
            "expires": to_epoch(self.expires),
            "crl_number": self.crl_number,
            "files": self.files,
        }
        if self.format > 1:
            parts = [
                {"certificate": one.certificate, "crl_number": one.crl_number, "left": dict(one.left)}
                for one in self.issuers
            ]
            values |= {"format": self.format, "key": self.key, "issuers": parts, "gone": self.gone}
            values |= {"acl_change": self.acl_change, "acl_floor": self.acl_floor, "acl_before": self.acl_before}
            values["denied"] = self.denied
            values["broker_version"] = self.broker_version
        if self.office is not None:
            values["office"] = self.office.values()
        return LABELS[self.format] + json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class Seal:
    """What was signed of a package, the signatures, and the certificates (DER) that came with them."""

    statement: bytes
    signatures: tuple[bytes, ...]
    certificates: tuple[bytes, ...]

    def holds(self, anchors: Sequence[bytes], withdrawn: Collection[str] = ()) -> bool:
        """Say whether one of the ``anchors`` signed it, or a CA below; those with ``withdrawn`` keys count no more."""
        signers = vouched(anchors, self.certificates, withdrawn)
        return any(statement_holds(signer, self.statement, one) for signer in signers for one in self.signatures)


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose signature and contents hold. ``digest`` names it: SHA-256 of what was signed."""

    manifest: Manifest
    digest: str
    files: Mapping[str, bytes]
    seal: Seal

    @property
    def own_cas(self) -> frozenset[str]:
        """The CAs whose package it is, SHA-256: what comes of the lists of others in it stops nothing."""
        if self.manifest.format > 1:
            return frozenset(one.certificate for one in self.manifest.issuers)
        return frozenset(sha256(der).hexdigest() for der in pem_blocks("CERTIFICATE", self.files[CA]))

    @property
    def judged_cas(self) -> frozenset[str]:
        """The CAs for whose devices' sake it is refused: one of an office's many stations holds no other one back."""
        return self.own_cas if self.manifest.office is None else frozenset()

    @property
    def own_keys(self) -> frozenset[str]:
        """The keys of these CAs (``pki.key_id``)."""
        cas = (der for der in pem_blocks("CERTIFICATE", self.files[CA]) if sha256(der).hexdigest() in self.own_cas)
        return frozenset({self.manifest.key, *map(key_of, cas)} - {""})


def describe(files: Mapping[str, bytes]) -> tuple[tuple[str, int, str], ...]:
    """List the files of a package for its manifest: name, octets, SHA-256."""
    names = [*(name for name in FILES if name in files), *sorted(files.keys() - set(FILES))]
    return tuple((name, len(files[name]), sha256(files[name]).hexdigest()) for name in names)


def render_package(
    manifest: Manifest, files: Mapping[str, bytes], signers: Iterable[Signer], certificates: Iterable[bytes] = ()
) -> Iterator[bytes]:
    """Yield a package's octets; every CA signs, so that a broker's machine may pin any of them.

    ``certificates`` (DER) lead from the signers to the CA above them, which a broker's machine may pin as well.
    """
    statement = manifest.statement()
    yield statement
    words = (*(sign_statement(signer, statement) for signer in signers), *certificates)
    yield b" ".join(map(base64.b64encode, words)) + b"\n"
    for name, _, _ in manifest.files:
        yield files[name]


def read_package(path: str, anchors: Sequence[bytes]) -> Package:
    """Read a package that one of the ``anchors`` (CA certificates, DER) signed.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: no package, of another CA, damaged, cut short, or longer than it says.
    """
    check_file(path)
    pieces = read_pieces(path)
    head = _read_head(path, pieces)
    seal, rest = _split_head(path, head)
    if not seal.holds(anchors):
        raise PolicyError(
            f"{path!r} was not signed by the CA that is trusted here, or it was changed since",
            hint="check --ca: it must be the CA of the workstation that made the package, or the root above it; nothing"
            " was touched",
        )
    manifest = _load(path, seal.statement)
    content = _read_content(path, rest, pieces, sum(size for _, size, _ in manifest.files))
    files, start = {}, 0
    for name, size, digest in manifest.files:
        files[name] = content[start : start + size]
        start += size
        if sha256(files[name]).hexdigest() != digest:
            raise PolicyError(f"{name} in {path!r} is damaged", hint=_HINT)
    if manifest.office is not None:
        _check_office(path, manifest, anchors, seal)
    elif manifest.format > 1:
        _check_key(path, manifest, files[CA], seal)
    return Package(manifest, sha256(seal.statement).hexdigest(), files, seal)


def _check_key(path: str, manifest: Manifest, cas: bytes, seal: Seal) -> None:
    """Make sure that the CA whose counter this is signed too: whoever stole another CA's key has no say in it."""
    own = [der for der in pem_blocks("CERTIFICATE", cas) if key_id(der) == manifest.key]
    if not any(statement_holds(der, seal.statement, one) for der in own for one in seal.signatures):
        raise PolicyError(f"{path!r} is not signed by the CA that it says it is of", hint=_HINT)


def _check_office(path: str, manifest: Manifest, anchors: Sequence[bytes], seal: Seal) -> None:
    """Make sure that a machine of the office signed whose package this is, and that the office itself is pinned.

    A station below a pinned root speaks for no other one.
    """
    pinned = [der for der in anchors if key_of(der) == manifest.key]
    if not seal.holds(pinned):
        raise PolicyError(
            f"{path!r} is of an office that is not trusted here", hint="check --ca: it must be the office's certificate"
        )


def _read_head(path: str, pieces: Iterator[bytes]) -> bytes:
    """The first octets of a package, with its first three lines if it has them."""
    head = next(pieces, b"")
    form = next((form for form, label in LABELS.items() if head.startswith(label)), None)
    if form is None:
        newer = head.startswith(LABEL.partition(b"v1")[0])
        raise PolicyError(
            f"{path!r} was made by a newer version of iotonboard" if newer else f"{path!r} is not a package",
            hint="install that version, or ask for 'iotonboard pack --format 2'; nothing was touched"
            if newer
            else _HINT,
        )
    kept = [head]
    lines, size = head.count(b"\n"), len(head)
    while lines < 3 and size < _MAX_HEAD[form] and (piece := next(pieces, b"")):
        kept.append(piece)
        lines, size = lines + piece.count(b"\n"), size + len(piece)
    if b"".join(kept)[: _MAX_HEAD[form]].count(b"\n") < 3:
        raise PolicyError(f"{path!r} is cut short or damaged", hint=_HINT)
    return b"".join(kept)


def _split_head(path: str, head: bytes) -> tuple[Seal, bytes]:
    """Cut a package's first octets into what is signed and by whom, and what follows."""
    lines = head.split(b"\n", 3)
    label, manifest, words = lines[0], lines[1], lines[2].split(b" ", _MAX_SIGNATURES)
    try:
        decoded = [base64.b64decode(word) for word in words]
    except binascii.Error:
        decoded = []
    if [base64.b64encode(one) for one in decoded] != words:  # the last bits of the last letter count too
        raise PolicyError(f"the signature of {path!r} is damaged", hint=_HINT)
    certificates = tuple(filter(key_of, decoded))
    signatures = tuple(one for one in decoded if one not in certificates)
    statement = b"%b\n%b\n" % (label, manifest)
    return Seal(statement, signatures, certificates), head[len(statement) + len(lines[2]) + 1 :]


def _load(path: str, statement: bytes) -> Manifest:
    label, text = statement.split(b"\n", 1)
    form = next(form for form, one in LABELS.items() if one == label + b"\n")
    try:
        manifest = _manifest(form, json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        manifest = None
    if manifest is None or not _is_known(manifest):
        raise PolicyError(f"{path!r} holds other things than this version knows", hint=_HINT)
    return manifest


def _manifest(form: int, values: Mapping[str, Any]) -> Manifest:
    created, not_before, expires = (from_epoch(values[name]) for name in ("created", "not_before", "expires"))
    files = tuple((str(name), int(size), str(digest)) for name, size, digest in values["files"])
    manifest = Manifest(int(values["counter"]), created, not_before, expires, int(values["crl_number"]), files)
    if form == 1:
        return manifest
    issuers = tuple(
        IssuerPart(str(one["certificate"]), int(one["crl_number"]), {str(k): str(v) for k, v in one["left"].items()})
        for one in values["issuers"]
    )
    return replace(
        manifest,
        format=form,
        key=str(values["key"]),
        issuers=issuers,
        gone=tuple(map(str, values["gone"])),
        acl_change=int(values["acl_change"]),
        acl_floor=int(values["acl_floor"]),
        acl_before=tuple((int(number), int(row), str(mark)) for number, row, mark in values["acl_before"]),
        denied=tuple(map(str, values["denied"])),
        broker_version="2.1" if values["broker_version"] == "2.1" else "2.0",
        office=parse_office_part(values["office"]) if form == OFFICE_FORMAT else None,
    )


def _is_known(manifest: Manifest) -> bool:
    """Say whether the files are those of the form, in the order in which a broker may meet them; then brokers' own."""
    names = tuple(name for name, _, _ in manifest.files)
    if manifest.format == 1:
        return names == FILES
    shared, own = (tuple(name for name in names if (name in FILES) is is_shared) for is_shared in (True, False))
    in_order = (*(name for name in FILES if name in shared), *sorted(set(own)))
    return {CRL, CA} <= set(names) and names == in_order and all(map(is_own_file, own))


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
