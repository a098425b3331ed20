"""The threat model claims nothing for which no test stands: each line has its argument, and its tests are there."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from support.program import PROJECT
from support.source import none_of

GUIDE = sorted((PROJECT / "iotonboard" / "guide").glob("*.md"))
PAGE = PROJECT / "iotonboard" / "guide" / "security.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_CLAIM = re.compile(r"\*\*([A-Z]\d+)\*\* \S")
_HEAD = ["claim", "argument", "test"]


@functools.cache
def functions(path: str) -> frozenset[str]:
    """The names of the tests of a file, which is not run for it."""
    file = PROJECT / path
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def parts() -> dict[str, str]:
    """The parts of the threat model by their headings."""
    text = PAGE.read_text(encoding="utf-8").split("\n## The threat model\n")[1].split("\n## ")[0]
    return dict(part.split("\n", 1) for part in text.split("\n### ")[1:])  # type: ignore[misc]


def lines(part: str) -> list[list[str]]:
    """The cells of the table of a part, without its head."""
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    assert not rows or rows[0] == _HEAD
    return rows[1:]


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_every_test_that_the_guide_names_is_there(page: Path) -> None:
    named = _NAMED.findall(page.read_text(encoding="utf-8"))
    none_of(f"{path}::{name}" for path, name in named if name not in functions(path))


def test_every_claim_has_a_number_an_argument_and_a_test() -> None:
    claims = [line for part in parts().values() for line in lines(part)]
    assert len(claims) > 50
    none_of(
        " | ".join(line)
        for line in claims
        if len(line) != 3 or not _CLAIM.match(line[0]) or not line[1] or _NAMED.sub("", line[2]).strip()
    )
    none_of(line[0] for line in claims if not _NAMED.search(line[2]))
    numbers = [match[1] for line in claims if (match := _CLAIM.match(line[0]))]
    assert len(numbers) == len(set(numbers))


def test_every_part_says_what_is_not_promised() -> None:
    none_of(name for name, part in parts().items() if lines(part) and "\nNot promised:" not in part)


def test_numbers_that_other_lines_name_are_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (PAGE, PAGE.with_name("regulations.md")))
    made = set(re.findall(r"\*\*([A-Z]\d+)\*\*", text))
    named = set(re.findall(r"(?<![\w.*-])[A-Z]\d{1,2}(?![\w.*-])", text)) - {"G2", "G3"}
    assert named <= made


_CLAUSES = {
    "Part I": ["(1)", *(f"(2)({letter})" for letter in "abcdefghijklm")],
    "Part II": [f"({number})" for number in range(1, 9)],
}


def test_every_clause_of_annex_i_is_there_once_and_says_what_is_left() -> None:
    text = PAGE.with_name("regulations.md").read_text(encoding="utf-8")
    for name, clauses in _CLAUSES.items():
        part = re.split(r"\n#{2,3} ", text.split(f"\n### {name}:")[1])[0]
        assert [row[0] for row in _rows(part)] == clauses
    assert all(row[0].startswith("CR ") for row in _rows(text.split("\n## IEC")[1]))
    none_of(" | ".join(row) for row in _rows(text) if len(row) != 4 or not all(row))


def _rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "clause"]
