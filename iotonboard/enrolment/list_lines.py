"""The lines of a list as text, whoever wrote it: a spreadsheet, a script or a person.

UTF-8 with or without BOM, UTF-16 as Excel and PowerShell write it, lines that end with LF or CRLF, or with CR where
the first one does, as Excel on a Mac writes them.
What cannot be read in a line is said of that line, and the next one is read.
"""

from __future__ import annotations

import codecs
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.reading import open_file
from iotonboard.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STDIN = "-"
SAVE_AS = "save the list as 'CSV UTF-8' in the spreadsheet"
MAX_LINE_OCTETS = 1 << 20
_BLOCK = 1 << 16
_MARK = "\ufeff"
_QUOTED = re.compile(rb'"[^"]*"')
_LINE_END_OF_TEXT = re.compile(r"[\r\n]")
_LINE_END = re.compile(rb"\r+\n|[\r\n]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end. ``problem`` says why it cannot be read; ``is_last``: nothing behind it is.

    ``stray`` names the end of another kind in it, which is a problem outside of quotes. ``is_open``: it has no end, as
    the last line of a list that was cut off.
    """

    number: int
    text: str
    problem: str = ""
    stray: str = ""
    is_open: bool = False
    is_last: bool = False


def name_of(source: str) -> str:
    """A list as errors name it."""
    return "stdin" if source == STDIN else repr(source)


def read_lines(source: str, stdin: BinaryIO) -> Iterator[Line]:
    """The lines of a list; ``-`` is ``stdin``.

    Raises:
        NotFoundError: there is no such file, or it is none.
        BusyError: it cannot be read to its end.
    """
    with nullcontext(stdin) if source == STDIN else open_file(source) as file:
        line = None
        try:
            for line in _lines(file):
                yield line
        except OSError as error:
            why = error.strerror or "the stream is closed"
            where = f" behind line {line.number}" if line else ""
            hint = "check the disk, then run the command again"
            raise BusyError(f"cannot read {name_of(source)}{where}: {why}", hint=hint) from error


def _lines(file: BinaryIO) -> Iterator[Line]:
    blocks = _as_utf8(file)
    rest = next(blocks, b"")
    first_end = _LINE_END.search(_QUOTED.sub(b"", rest))
    end = b"\r" if first_end and first_end[0] == b"\r" else b"\n"
    number = 0
    while rest:
        *whole, rest = rest.split(end)
        for octets in whole:
            number += 1
            yield _line(number, octets)
        if len(rest) > MAX_LINE_OCTETS:
            text = rest[:_BLOCK].decode("utf-8", "replace")
            problem = f"longer than {MAX_LINE_OCTETS >> 20} MiB, and nothing behind it was read"
            yield Line(number + 1, text, problem, is_last=True)
            return
        block = next(blocks, b"")
        if not block:
            break
        rest += block
    if rest:
        yield _line(number + 1, rest.removesuffix(b"\n"), is_open=not rest.endswith(b"\n"))  # "\n": of a list with CR


def _line(number: int, octets: bytes, *, is_open: bool = False) -> Line:
    try:
        text = octets.decode().rstrip("\r").removeprefix("\n")  # of a CRLF in a list whose lines end with CR
    except UnicodeDecodeError:
        text = octets.decode("utf-8", "backslashreplace").rstrip("\r")
        return Line(number, text, "is not UTF-8 text", is_open=is_open)
    problem = "holds a NUL" if "\0" in text else ""
    stray = "a CR" if "\r" in text else "an LF" if "\n" in text else ""
    return Line(number, text.removeprefix(_MARK), problem, stray, is_open)


def _as_utf8(file: BinaryIO) -> Iterator[bytes]:
    """The octets of a list in blocks, the first with its first line; what is no character stays none."""
    first = b""
    while len(first) < _BLOCK and b"\n" not in first[2:]:
        block = _read(file)
        if not block:
            break
        first += block
    encoding = _encoding_of(first)
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass") if encoding else None
    block = first
    while block:
        text = decoder.decode(block).encode("utf-8", "surrogatepass") if decoder else block
        if text:
            yield text
        block = _read(file)
    if decoder and decoder.getstate()[0]:
        yield b"\xff"  # half a character


def _read(file: BinaryIO) -> bytes:
    return file.read1(_BLOCK) if hasattr(file, "read1") else file.read(_BLOCK)


def _encoding_of(octets: bytes) -> str:
    """A kind of UTF-16, or nothing. Without a mark it is certain where only one of the two makes a line of text."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if octets.startswith(mark):
            return encoding
    found = [encoding for encoding in ("utf-16-le", "utf-16-be") if b"\0" in octets and _begins_text(octets, encoding)]
    return found[0] if len(found) == 1 else ""


def _begins_text(octets: bytes, encoding: str) -> bool:
    """Say whether this is a line of text with its end, or letters of Latin-1 alone."""
    try:
        text = codecs.getincrementaldecoder(encoding)("surrogatepass").decode(octets)
    except UnicodeDecodeError:
        return False
    line = _LINE_END_OF_TEXT.split(text, maxsplit=1)[0]
    if len(line) == len(text):
        return bool(line) and all("\0" < letter < "\u0100" for letter in line)
    return line.replace("\t", "").isprintable() and any(letter.isascii() for letter in line)
