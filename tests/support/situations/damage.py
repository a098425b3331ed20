"""Files as they arrive: what editors, sticks, mail and cut-off copies make of a PEM file, by name."""

from __future__ import annotations

import random
import re
from base64 import b64decode, b64encode, encodebytes
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from iotonboard.pki.given import certificates_in, crls_in

Change: TypeAlias = Callable[[bytes], bytes | None]


def _label(pem: bytes) -> bytes:
    return pem.split(b"-----BEGIN ")[1].split(b"-----")[0]


def _octets(pem: bytes) -> bytes:
    if b"PRIVATE KEY" in pem:
        return _body(pem)
    return (crls_in if b"CRL" in pem else certificates_in)(pem)[0]


def _body(pem: bytes) -> bytes:
    return b64decode(b"".join(pem.splitlines()[1:-1]))


def _armoured(pem: bytes, octets: bytes, width: int = 64) -> bytes:
    label, text = _label(pem), b64encode(octets)
    lines = b"".join(text[start : start + width] + b"\n" for start in range(0, len(text), width))
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, lines, label)


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return lambda pem: b"".join(change(pem.splitlines(keepends=True)))


def _each(change: Callable[[bytes], bytes]) -> Change:
    return _lines(lambda lines: [change(line) for line in lines])


def _headed(header: bytes) -> Change:
    return _lines(lambda lines: [lines[0], header, b"\n", *lines[1:]])


def _rewrapped(width: int) -> Change:
    return lambda pem: _armoured(pem, _octets(pem), width)


def _recoded(change: Callable[[bytes], bytes]) -> Change:
    return lambda pem: _armoured(pem, change(_octets(pem)))


def _replaced(old: bytes, new: bytes, count: int = -1) -> Change:
    return lambda pem: pem.replace(old, new, count)


CHANGES: dict[str, Change] = {
    "as it was": lambda pem: pem,
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "blanks": lambda _: b" \n\n",
    "text": lambda _: b"not what it should be\n",
    "zeros": lambda pem: bytes(len(pem)),
    "cut in half": lambda pem: pem[: len(pem) // 2],
    "cut behind a line": _lines(lambda lines: lines[:3]),
    "cut in the first line": lambda pem: pem[:15],
    "cut before its end line": _lines(lambda lines: lines[:-1]),
    "cut in its end line": lambda pem: pem[:-6],
    "without its last line end": lambda pem: pem[:-1],
    "without its first line": _lines(lambda lines: lines[1:]),
    "without a line inside": _lines(lambda lines: lines[:2] + lines[3:]),
    "with a line twice": _lines(lambda lines: [*lines[:3], *lines[2:]]),
    "with a blank line behind its first": _lines(lambda lines: [lines[0], b"\n", *lines[1:]]),
    "with a blank line inside": _lines(lambda lines: [*lines[:3], b"\n", *lines[3:]]),
    "with a blank line before its end": _lines(lambda lines: [*lines[:-1], b"\n", lines[-1]]),
    "with blank lines around": lambda pem: b"\n\n" + pem + b"\n\n",
    "with blanks behind its lines": _each(lambda line: line[:-1] + b"  \n"),
    "with a tab behind its lines": _each(lambda line: line[:-1] + b"\t\n"),
    "with blanks before its lines": _each(lambda line: b"  " + line),
    "with a blank before its first line": lambda pem: b" " + pem,
    "quoted as in mail": _each(lambda line: b"> " + line),
    "line ends of DOS": _replaced(b"\n", b"\r\n"),
    "line ends of old Macs": _replaced(b"\n", b"\r"),
    "in one line": _replaced(b"\n", b""),
    "in one line but its boundaries": _rewrapped(1 << 20),
    "in lines of 76": _rewrapped(76),
    "in lines of 250": _rewrapped(250),
    "in lines of 3": _rewrapped(3),
    "with a byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "in UTF-16": lambda pem: pem.decode().encode("utf-16"),
    "with text around": lambda pem: b"# of the plant\n" + pem + b"and behind\n",
    "with a zero behind": lambda pem: pem + b"\0",
    "with zeros behind": lambda pem: pem + bytes(4096),
    "with a zero inside": _lines(lambda lines: [*lines[:2], b"\0" + lines[2][1:], *lines[3:]]),
    "with a header": _headed(b"Comment: of the plant\n"),
    "with the header of an encrypted one": _headed(b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n"),
    "with a bad letter": _lines(lambda lines: [*lines[:2], b"!" + lines[2][1:], *lines[3:]]),
    "with a letter too many": _lines(lambda lines: [*lines[:2], b"A" + lines[2], *lines[3:]]),
    "with four letters too many": _lines(lambda lines: [*lines[:2], b"AAAA" + lines[2], *lines[3:]]),
    "without padding": _replaced(b"=", b""),
    "with the letters of URLs": _replaced(b"+", b"-"),
    "in small letters": _replaced(b"BEGIN", b"begin"),
    "with a dash less before": lambda pem: pem[1:],
    "with a dash less at the end": lambda pem: pem[:-2] + b"\n",
    "with dashes too many": _replaced(b"-----", b"------"),
    "with another end": lambda pem: re.sub(rb"END [A-Z0-9 ]+", b"END NOTHING", pem),
    "with another label": lambda pem: pem.replace(_label(pem), b"NOTHING"),
    "with a longer label": lambda pem: pem.replace(_label(pem), b"NEW " + _label(pem)),
    "DER": _octets,
    "base64 alone": lambda pem: encodebytes(_octets(pem)),
    "twice": lambda pem: pem + pem,
    "twice without a line end between": lambda pem: pem[:-1] + pem,
    "and cut the second time": lambda pem: pem + pem[: len(pem) // 2],
    "and a bad letter the second time": lambda pem: pem + pem.replace(b"\nMI", b"\n!I", 1),
    "and another end the second time": lambda pem: pem + pem.replace(b"-----END ", b"-----END X"),
    "and nothing inside the second time": lambda pem: pem + _armoured(pem, b"\x30\x00"),
    "and no octets the second time": lambda pem: pem + _armoured(pem, b""),
    "and a block of another kind": lambda pem: pem + b"-----BEGIN NOTHING-----\nMAA=\n-----END NOTHING-----\n",
    "and a damaged block of another kind": lambda pem: pem + b"-----BEGIN NOTHING-----\nM!A=\n-----END NOTHING-----\n",
    "and DER behind": lambda pem: pem + _octets(pem),
    "octets cut": _recoded(lambda der: der[:-5]),
    "octets behind": _recoded(lambda der: der + b"more"),
    "another signature": _recoded(lambda der: der[:-1] + bytes([der[-1] ^ 1])),
    "nothing inside": _recoded(lambda _: b"\x30\x00"),
}  # fmt: skip


def random_changes(seed: int, count: int) -> Iterator[tuple[str, Change]]:
    """Single changes at places that the seed chooses: of octets inside, and of letters of the text."""
    for number in range(count):
        yield f"octet {number} changed", partial(_flip, f"{seed} {number}")
        yield f"letter {number} changed", partial(_edit, f"{seed} {number}")


def _flip(seed: str, pem: bytes) -> bytes:
    chance, octets = random.Random(seed), bytearray(_octets(pem))  # noqa: S311
    place = chance.randrange(len(octets))
    octets[place] ^= 1 << chance.randrange(8)
    return _armoured(pem, bytes(octets))


def _edit(seed: str, pem: bytes) -> bytes:
    chance = random.Random(seed)  # noqa: S311
    place = chance.randrange(len(pem))
    what = chance.choice([b"", b"\n", b" ", b"-", b"A", b"\0", b"=", pem[place : place + 1] * 2])
    return pem[:place] + what + pem[place + 1 :]
