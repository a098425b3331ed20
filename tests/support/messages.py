"""What no message for people may hold: a value as Python writes it. Every call of the tests is looked through."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

_PYTHON = re.compile(
    r"\b(?:None|True|False)\b|\['|\{'|[=:] b'|<[A-Za-z_]+\.|object at 0x"
    r"|\b(?:datetime|PosixPath|SerialNumber|DeviceId)\("
)
_NOT_FOR_PEOPLE = ("{", "<", "-----BEGIN")  # how JSON, a page and keys begin


def python_value(text: str, given: Sequence[str] = ()) -> str:
    """The line of a text in which a value stands as Python writes it, unless it was ``given`` so; empty for none."""
    for line in text.splitlines():
        found = _PYTHON.search(line)
        if found and not any(found[0] in one for one in given):
            return line
    return ""


def value_told(words: Sequence[str], stdout: str, stderr: str, given: Sequence[str]) -> str:
    """The first such line of what a call told people; the guide and its examples are text of their own."""
    is_help = words[:1] == ("help",) or "--help" in words
    told = "" if is_help or stdout.lstrip().startswith(_NOT_FOR_PEOPLE) else stdout
    return python_value(f"{stderr}\n{told}", (*words, *given))


def refuse_python_values(exit_code: int, words: Sequence[str], stdout: str, stderr: str, given: Sequence[str]) -> None:
    """Fail the test whose call told people such a line; a defect that a test made shows Python's own words."""
    if exit_code != 1 and (line := value_told(words, stdout, stderr, given)):
        pytest.fail(f"a value as Python writes it: {line!r} of iotonboard {' '.join(words)}\n{stdout}{stderr}")
