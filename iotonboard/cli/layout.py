"""How text lies on a terminal: no word is broken, tables are as wide as the terminal, colour repeats what a word says.

Loaded on terminals alone; scripts get plain lines.
"""

from __future__ import annotations

import os
import re
import shutil
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NARROWEST = 40  # columns; on less one cannot read anyway
_GAP = 2  # columns between two of a table
_SAMPLE = 200  # rows by which the columns of a table are measured, so that it begins at once
_KEPT_WHOLE = (36, 20)  # characters of the longest word that a table does not break while there is room: UUID, time
_INDENT, _BELOW = "  ", "    "
_END = "\x1b[0m"
_COLOURS = {"bold": "1", "dim": "2", "bad": "1;31", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
# Blanks of other kinds, which no printable text holds: between the words of a command while a message is wrapped, in
# one of its words, and elsewhere on its line.
_JOIN, _IN_WORD, _BESIDE = "\N{NO-BREAK SPACE}", "\N{FIGURE SPACE}", "\N{NARROW NO-BREAK SPACE}"
_OTHER_BLANKS = str.maketrans({_JOIN: " ", _IN_WORD: " ", _BESIDE: " "})
_WORD = r"(?:'[^']*'|[^\s'();,:]|[;,:](?=\S))+"  # of a command, in a sentence
_BEGIN = r"(?:iotonboard(?= [a-z])|mosquitto(?= -c)|export(?= [A-Z_]+=)|(?:chmod|chown|mkdir|systemctl)(?= ))"
_COMMAND = re.compile(rf"(?<![\w/.-])(?:'{_BEGIN} [^']*'|{_BEGIN}(?: {_WORD})+)")
_LABEL = re.compile(r"^(iotonboard: )?(error|warning|hint|next|then|not done)(?=: )")
_OF_LABELS = {"error": "bad", "not done": "bad", "warning": "yellow"}  # of the others: cyan
_OF_WORDS = {
    "ok": "green", "active": "green", "whole": "green", "accepted": "green", "created": "green", "renewed": "green",
    "warning": "yellow", "expired": "yellow", "on-hold": "yellow", "skipped": "yellow", "NOT enforced": "yellow",
    "failed": "bad", "refused": "bad", "denied": "bad", "broken": "bad", "revoked": "red", "retired": "red",
}  # fmt: skip


def text_width() -> int:
    """How many columns the terminal has."""
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def coloured(text: str, colour: str) -> str:
    """The text in a colour, where the terminal shows any and somebody wants to see it."""
    if not colour or not text or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}{_END}"


def message_lines(text: str) -> Iterator[str]:
    """A message for people, wrapped at words, with its first word in colour.

    A command stays on one line, or goes on behind a backslash, so that a shell takes it as it is copied from there.
    """
    for line in text.split("\n"):
        kept = _COMMAND.sub(lambda found: _joined(found[0]), line)
        first, *more = wrap(kept, text_width(), indent=_INDENT)
        first, *more = chain.from_iterable(_command_lines(each, text_width()) for each in (first, *more))
        yield _LABEL.sub(lambda found: f"{found[1] or ''}{coloured(found[2], _OF_LABELS.get(found[2], 'cyan'))}", first)
        yield from more


def command_lines(label: str, command: str) -> list[str]:
    """A command behind its label, in the width of the terminal: below it where it does not fit."""
    if cell_width(f"{label} {command}") <= text_width():
        return [f"{label} {command}"]
    return [label, *_command_lines(_INDENT + _joined(command), text_width())]


def _joined(command: str) -> str:
    """A command whose blanks are of other kinds; one that stands in quotes is joined as it is."""
    if command.startswith("'"):
        return command.replace(" ", _JOIN)
    pieces = re.split(r"('[^']*')", command)
    return "".join(each.replace(" ", _IN_WORD if each.startswith("'") else _JOIN) for each in pieces)


def _command_lines(line: str, width: int) -> list[str]:
    """A line on which the words of a command are joined, broken between these where it is too wide."""
    if cell_width(line) <= width or line.lstrip().startswith(f"export{_JOIN}"):  # a variable is one word
        return [line.translate(_OTHER_BLANKS)]
    *lines, last = wrap(line.replace(" ", _BESIDE).replace(_JOIN, " "), width - 2, indent=_BELOW)
    return [each.translate(_OTHER_BLANKS) for each in (*(f"{each} \\" for each in lines), last)]


def field_lines(text: str) -> Iterator[str]:
    """A result whose fields are separated by tabs: on one line where it fits, else as many fields on a line as fit."""
    width = text_width()
    for line in text.split("\n"):
        rows, used = [list[str]()], 0
        for piece in chain.from_iterable(wrap(field, width - len(_INDENT)) for field in line.split("\t")):
            if rows[-1] and used + _GAP + cell_width(piece) > width:
                rows.append([])
                used = len(_INDENT)
            used += cell_width(piece) + (_GAP if rows[-1] else 0)
            rows[-1].append(_with_colour(piece))
        for number, row in enumerate(rows):
            yield _INDENT * bool(number) + (" " * _GAP).join(row)


def card_lines(title: str, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One thing with its facts, each whole on a line of its own, or below its label: it is copied from there."""
    yield (" " * _GAP).join(map(_with_colour, title.split("\t")))
    widest = max((len(label) for label, _ in facts), default=0)
    for label, value in facts:
        beside, below = " " * (widest - len(label) + _GAP), f"\n{_BELOW}"
        width, room = cell_width(value), text_width()
        fits_below = len(_INDENT) + widest + _GAP + width > room >= len(_BELOW) + width
        yield f"{_INDENT}{coloured(label, 'dim')}{below if fits_below else beside}{value}"


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> Iterator[str]:
    """A table as wide as the terminal, whose first lines are there before its last row is.

    What does not fit goes on below, at a word; nothing is cut. A table without rows says so with ``empty``.
    """
    left = iter(rows)
    sample = list(islice(left, _SAMPLE))
    if not sample:
        yield coloured(empty, "dim")
        return
    widths = _widths([columns, *sample], text_width())
    # Paths and names are copied from there: where one does not fit, the last column goes below its row, whole.
    is_below = len(columns) > 1 and any(_is_too_narrow(row, widths) for row in sample)
    if is_below:
        widths = _widths([row[:-1] for row in (columns, *sample)], text_width())
    yield from (coloured(line, "bold") for line in _row_lines(columns, widths, is_header=True))
    for row in chain(sample, left):
        yield from _row_lines(row, widths)


def _is_too_narrow(row: Sequence[str], widths: Sequence[int]) -> bool:
    """Whether a row would break a word of its last column, or one elsewhere that is kept whole while there is room."""
    *longest, last = map(_longest_word, row)
    return last > widths[-1] or any(
        width < word <= _KEPT_WHOLE[0] for word, width in zip(longest, widths, strict=False)
    )


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide each column is: as its widest cell, and where that is too much, what wraps well gives way first."""
    cells = list(zip(*rows, strict=True))
    widths = [max(map(cell_width, column)) for column in cells]
    longest = [max(map(_longest_word, column)) for column in cells]
    room = width - _GAP * (len(widths) - 1)
    for most in (*_KEPT_WHOLE, 1):  # words are broken only where whole ones do not fit at all
        while sum(widths) > room:
            wide = [number for number, each in enumerate(widths) if each > min(most, longest[number])]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int], *, is_header: bool = False) -> Iterator[str]:
    cells = [_cell_lines(value, width) for value, width in zip(row, widths, strict=False)]
    for number in range(max(map(len, cells))):
        line = ""
        for cell, value, width in zip(cells, row, widths, strict=False):
            text = cell[number] if number < len(cell) else ""
            colour = "" if is_header else _OF_WORDS.get(value.partition(" (")[0], "")
            line += coloured(text, colour) + " " * (width - cell_width(text) + _GAP)
        yield line.rstrip()
    for value in row[len(widths) :]:
        if value:
            yield from (_BELOW + each for each in wrap(value, text_width() - len(_BELOW)))


def _cell_lines(value: str, width: int) -> list[str]:
    if cell_width(value) <= width and "\n" not in value:
        return [value]
    lines = (wrap(line, width) for line in value.split("\n"))
    return [piece for line in chain.from_iterable(lines) for piece in _chop(line, width)]


def _chop(word: str, width: int) -> Iterator[str]:
    """A word that is wider than its column, in pieces: an id of 64 characters beside four other columns."""
    while cell_width(word) > width:
        size = max(1, next(size for size in range(len(word), -1, -1) if cell_width(word[:size]) <= width))
        yield word[:size]
        word = word[size:]
    yield word


def _with_colour(field: str) -> str:
    return coloured(field, _OF_WORDS.get(field.partition(" (")[0], ""))


def _longest_word(text: str) -> int:
    return max(map(cell_width, text.split()), default=0)


def wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    """The lines of a text, broken between words alone; those behind the first one begin with ``indent``."""
    if cell_width(text) <= width:
        return [text]
    lines, line = list[str](), ""
    for word in text.split(" "):
        if line.strip() and cell_width(line) + 1 + cell_width(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def cell_width(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
