"""The sheet that is printed and signed when a root certified a CA: what was compared, and who was there."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.model import rfc3339
from iotonboard.pki.ca_request import spoken
from iotonboard.pki.facts import certificate_facts
from iotonboard.pki.profiles import permitted_names, show_name

if TYPE_CHECKING:
    from iotonboard.model import Caller
    from iotonboard.store.stations import StationCertificate

_WIDTH = 78
_LINE = "_" * 30


@dataclass(frozen=True, slots=True)
class Record:
    """What was done: certificate and chain (DER), the number of the root's list, who typed it, the answer's name."""

    certificate: StationCertificate
    chain: tuple[bytes, ...]
    crl_number: int
    caller: Caller
    answer: str


def render_sheet(record: Record) -> str:
    """The sheet, plain text of 78 columns."""
    one, root = record.certificate, certificate_facts(record.chain[-1])
    station = certificate_facts(one.der)
    names = [show_name(name) for name in permitted_names(one.der)]
    rows = (
        ("root", root.subject_cn),
        ("its SHA-256", _grouped(root.fingerprint)),
        ("station", one.name),
        ("its key", f"{station.key_type}, SHA-256 {_grouped(one.spki_sha256.hex())}"),
        ("request, SHA-256", _grouped(one.request.hex())),
        ("request, in words", spoken(one.request)),
        ("serial", one.serial.hex),
        ("certificate, SHA-256", _grouped(station.fingerprint)),
        ("valid from", rfc3339(one.validity.not_before)),
        ("valid until", rfc3339(one.validity.not_after)),
        ("path length", "0: it certifies devices and brokers, and no further CA"),
        ("subjects", "; or ".join(names) or "any"),
        ("list of the root", f"number {record.crl_number}"),
        ("signed at", rfc3339(one.signed_at)),
        ("typed by", f"{record.caller.operator} on {record.caller.host}"),
        ("answer", record.answer),
    )
    head = "RECORD: A ROOT HAS CERTIFIED A STATION'S CA"
    body = "\n".join(_row(name, value) for name, value in rows)
    compared = "[ ] The words of the request were read to each other, and were the same on both sides."
    carried = "[ ] The answer was carried to the station, and the root's SHA-256 was compared there."
    signatures = "\n\n".join(
        f"{who:<24}{_LINE}  date {'_' * 12}" for who in ("holder of the root", "witness", "station")
    )
    return f"{head}\n{'=' * len(head)}\n\n{body}\n\n{compared}\n{carried}\n\n\n{signatures}\n"


def _row(name: str, value: str) -> str:
    return textwrap.fill(value, _WIDTH, initial_indent=f"{name:<24}", subsequent_indent=" " * 24)


def _grouped(digits: str) -> str:
    """Hexadecimal digits in groups of eight, for the eye."""
    return " ".join(digits[begin : begin + 8] for begin in range(0, len(digits), 8))
