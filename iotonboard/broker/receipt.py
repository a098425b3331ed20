"""Receipts: what is in place at a broker, as its machine says, in a small file on its way back.

::

    iotonboard receipt v1
    {"broker":"broker-1", "counter":1795520932, ..., "issuers":[{"certificate": ...}]}
    <SHA-256 of the two lines before, lower-case hex>

No key is needed for it, so nobody signed it: it is the word of that machine, and of whoever had the stick in hand. The
digest finds damage, not lies. So nothing is decided by a receipt but what is shown.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from iotonboard.broker.merge_acl import change_of
from iotonboard.broker.package import ACL, CA, CRL
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import no_folder
from iotonboard.errors import ConflictError, NotFoundError, PolicyError
from iotonboard.model import from_epoch, to_epoch
from iotonboard.pki.crl import CrlFacts, check_crl
from iotonboard.pki.pem import pem_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any

LABEL: Final = b"iotonboard receipt v1"
_LIMIT: Final = 1 << 16  # octets; a receipt of eight CAs has two thousand
_MOST_ISSUERS: Final = 64
_LARGEST: Final = (1 << 63) - 1  # what the database holds
_LONGEST_NAME, _LONGEST_PATH = 128, 1024
_DIGEST = re.compile("[0-9a-f]{64}")
_KEY = re.compile("[0-9a-f]{16}|")
_HINT = "copy it again from the broker's machine, or write a new one there: the same 'iotonboard apply' once more"


@dataclass(frozen=True, slots=True)
class ListInPlace:
    """The list of one CA at a broker; of a calendar the one with the lowest number, whose revocations all others have.

    ``certificate`` and ``crl`` are SHA-256 of the CA's certificate and of the list, DER.
    """

    certificate: str
    crl: str
    number: int
    this_update: datetime
    next_update: datetime
    revoked: int

    @property
    def said(self) -> tuple[datetime, datetime, int]:
        """What tells lists of one number apart where nobody kept a digest."""
        return self.this_update, self.next_update, self.revoked


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is in place in the folder ``path`` on the machine ``broker`` at ``time``, by its clock.

    ``counter`` is the newest package's; ``acl_key`` and ``acl_change`` are those of the ACL's region, empty and 0 where
    it says nothing. ``is_read``: the broker was seen to read the files.
    """

    broker: str
    path: str
    time: datetime
    counter: int
    acl_key: str
    acl_change: int
    is_read: bool
    issuers: tuple[ListInPlace, ...]


def receipt_of(
    files: Mapping[str, bytes], *, broker: str, path: str, counter: int, is_read: bool, now: datetime
) -> Receipt:
    """The receipt of the files of a broker's folder; of a CA without a list there it says nothing."""
    lists = pem_blocks("X509 CRL", files.get(CRL, b""))
    cas = dict.fromkeys(pem_blocks("CERTIFICATE", files.get(CA, b"")))
    found = [min(own, key=lambda one: one.number) for ca in cas if (own := list(_lists_of(ca, lists)))]
    change = change_of(files.get(ACL, b""))
    return Receipt(
        _clean(broker, _LONGEST_NAME),
        _clean(path, _LONGEST_PATH),
        now,
        counter,
        change.key if change else "",
        change.number if change else 0,
        is_read,
        tuple(sorted(found, key=lambda one: one.certificate)[:_MOST_ISSUERS]),
    )


def _lists_of(ca: bytes, lists: Iterable[bytes]) -> Iterator[ListInPlace]:
    for der in lists:
        try:
            facts: CrlFacts = check_crl(der, ca)
        except PolicyError:
            continue
        times = facts.this_update, facts.next_update
        yield ListInPlace(sha256(ca).hexdigest(), sha256(der).hexdigest(), facts.number, *times, facts.count)


def _clean(text: str, longest: int) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:longest] or "?"


def check_receipt_place(path: str) -> None:
    """Make sure, before anything is done, that a receipt can be written to a file without harm.

    Raises:
        NotFoundError: there is no such folder.
        ConflictError: something else than a receipt is there.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise NotFoundError(f"{no_folder(folder)}, for the receipt", hint="make it, or mount its disk")
    if os.path.lexists(path) and not (os.path.isfile(path) and read_file(path).startswith(LABEL)):
        raise ConflictError(f"{path!r} is there and is no receipt", hint="name another file with --receipt")


def write_receipt(path: str, receipt: Receipt) -> None:
    """Write a receipt in place of an earlier one.

    Raises:
        BusyError: the disk refuses.
    """
    write_atomic(path, render_receipt(receipt), PUBLIC)


def render_receipt(receipt: Receipt) -> bytes:
    """The octets of a receipt: sorted keys, no blanks, ASCII."""
    issuers = [
        asdict(one) | {"this_update": to_epoch(one.this_update), "next_update": to_epoch(one.next_update)}
        for one in receipt.issuers
    ]
    values = {name: getattr(receipt, name) for name in Receipt.__slots__ if name not in ("issuers", "time")}
    values |= {"issuers": issuers, "time": to_epoch(receipt.time)}
    lines = b"%b\n%b\n" % (LABEL, json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii"))
    return lines + sha256(lines).hexdigest().encode("ascii") + b"\n"


def read_receipt(path: str) -> Receipt:
    """Read a receipt that came back; every octet of it has a meaning, so what is not as written is damaged.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: it is no receipt, of a newer version, damaged, or larger than any.
    """
    try:
        content = read_file(path, limit=_LIMIT)
    except ConflictError as error:
        raise PolicyError(f"{path!r} is no receipt: {error.message}", hint=_HINT) from error
    if not content.startswith(LABEL + b"\n"):
        newer = content.startswith(LABEL.partition(b"v1")[0])
        what = "was made by a newer version of iotonboard" if newer else "is no receipt"
        raise PolicyError(f"{path!r} {what}", hint="install that version here" if newer else _HINT)
    try:
        receipt = _receipt(json.loads(content.split(b"\n", 2)[1]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        receipt = None
    if receipt is None or not _is_sound(receipt) or render_receipt(receipt) != content:
        raise PolicyError(f"{path!r} is damaged", hint=_HINT)
    return receipt


def _receipt(values: Mapping[str, Any]) -> Receipt:
    issuers = tuple(
        ListInPlace(
            one["certificate"],
            one["crl"],
            one["number"],
            from_epoch(one["this_update"]),
            from_epoch(one["next_update"]),
            one["revoked"],
        )
        for one in values["issuers"]
    )
    plain = {name: values[name] for name in Receipt.__slots__ if name not in ("issuers", "time")}
    return Receipt(**plain, time=from_epoch(values["time"]), issuers=issuers)


def _is_sound(receipt: Receipt) -> bool:
    """Say whether each value is one of its kind."""
    names = [one.certificate for one in receipt.issuers]
    return (
        all(_is_text(*one) for one in ((receipt.broker, _LONGEST_NAME), (receipt.path, _LONGEST_PATH)))
        and all(map(_is_number, (receipt.counter, receipt.acl_change)))
        and all(_is_number(one.number) and _is_number(one.revoked) for one in receipt.issuers)
        and type(receipt.is_read) is bool
        and _KEY.fullmatch(receipt.acl_key) is not None
        and all(_DIGEST.fullmatch(digest) for one in receipt.issuers for digest in (one.certificate, one.crl))
        and names == sorted(set(names))
        and len(names) <= _MOST_ISSUERS
    )


def _is_text(text: object, longest: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= longest and text.isprintable()


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST
