"""Textual encoding of DER (RFC 7468), fast enough for a CRL of a million entries."""

from __future__ import annotations

import binascii
import contextlib
import re
from itertools import chain, pairwise
from struct import iter_unpack
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN, _END = b"-----BEGIN %b-----\n", b"-----END %b-----\n"
_LINE_OCTETS, _LINE_LETTERS = 48, 64  # RFC 7468 section 2
_PIECE_OCTETS = 8192 * _LINE_OCTETS
# Not anchored to the start of a line: a literal prefix is searched ten times faster, and no dash is base64.
_BOUNDARY = rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----"
_LINE_ENDS = b"\r\n"


def pem_encode(label: str, der: bytes) -> bytes:
    """Write one block with lines of 64 characters that end in LF (RFC 7468 section 3)."""
    text = binascii.b2a_base64(der, newline=False)
    lines = b"\n".join([text[start : start + _LINE_LETTERS] for start in range(0, len(text), _LINE_LETTERS)])
    return b"%b%b\n%b" % (_BEGIN % label.encode(), lines, _END % label.encode())


def pem_pieces(label: str, der: bytes) -> Iterator[bytes]:
    """Write one block as ``pem_encode`` does, in pieces of half a mebibyte: a large CRL is never twice in memory."""
    view = memoryview(der)
    yield _BEGIN % label.encode()
    for start in range(0, len(der), _PIECE_OCTETS):
        yield _lines(view[start : start + _PIECE_OCTETS])
    yield _END % label.encode()


def _lines(view: memoryview) -> bytes:
    """All of the loop runs in C: unpack 48 octets, encode them with their LF, join."""
    full = len(view) - len(view) % _LINE_OCTETS
    whole = map(binascii.b2a_base64, chain.from_iterable(iter_unpack(f"{_LINE_OCTETS}s", view[:full])))
    return b"".join((*whole, binascii.b2a_base64(view[full:]) if full < len(view) else b""))


def checked_pieces(label: str, der: bytes) -> Iterator[bytes]:
    """As ``pem_pieces``, each piece decoded again before it is yielded.

    Raises:
        PolicyError: what was written is not what was meant.
    """
    position = 0
    for piece in pem_pieces(label, der):
        if not piece.startswith(b"-"):
            octets = binascii.a2b_base64(piece.translate(None, _LINE_ENDS), strict_mode=True)
            if der[position : position + len(octets)] != octets:
                break
            position += len(octets)
        yield piece
    if position != len(der):
        raise PolicyError(f"a {label!r} block did not survive being written as PEM", hint="report this as a defect")


def pem_decode_all(label: str, data: bytes) -> list[bytes]:
    """Read every block of ``data``; all of them must carry ``label``.

    Text before, between and after the blocks is skipped, as RFC 7468 section 2 asks of a reader.

    Raises:
        PolicyError: no block at all, another label, a block without its end, or text in a block that is not
            strict base64.

    """
    wanted = label.encode()
    bounds = list(re.finditer(_BOUNDARY, data))
    if not bounds:
        raise PolicyError(f"no {label!r} block found", hint=f"a PEM file holds -----BEGIN {label}-----")
    if len(bounds) % 2:
        raise PolicyError(f"a {label!r} block is cut short", hint="copy the whole file again")
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return [_decode_block(wanted, data, begin, end) for begin, end in pairs]


def pem_blocks(label: str, data: bytes) -> list[bytes]:
    """Read the blocks with ``label`` that can be read; what cannot be, and what has another label, is passed over."""
    found, wanted = [], label.encode()
    bounds = list(re.finditer(_BOUNDARY, data))
    for begin, end in pairwise(bounds):
        if begin[1] == b"BEGIN" and begin[2] == wanted:
            with contextlib.suppress(PolicyError):
                found.append(_decode_block(wanted, data, begin, end))
    return found


def _decode_block(label: bytes, data: bytes, begin: re.Match[bytes], end: re.Match[bytes]) -> bytes:
    """Decode what stands between two boundary lines."""
    if (begin[1], end[1]) != (b"BEGIN", b"END") or begin[2] != end[2]:
        raise PolicyError("the BEGIN and END lines of a PEM file do not pair", hint="copy the whole file again")
    if begin[2] != label:
        raise PolicyError(f"expected a {label.decode()!r} block, found {begin[2].decode()!r}")
    text = data[begin.end() : end.start()].translate(None, _LINE_ENDS)
    try:
        der = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise PolicyError(f"a {label.decode()!r} block is not base64", hint="copy the whole file again") from error
    if not der:
        raise PolicyError(f"a {label.decode()!r} block is empty", hint="copy the whole file again")
    return der
