"""Where ``iotonboard.toml`` has a profile that cannot be taken: line numbers for people who edit the file."""

from __future__ import annotations

import re

from iotonboard.state import setting_forms


def where(text: str, tables: object) -> str:
    """The first profile that cannot be taken: the line of the key without which it can, and that of its table."""
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if _is_taken(name, table):
            continue
        begin = _begin(text, str(name))
        if begin is None:
            return "file"
        line, keys = f"line {_number(text, begin)}", table if isinstance(table, dict) else {}
        key = next((key for key in keys if _is_taken(name, {one: keys[one] for one in keys if one != key})), None)
        place = None if key is None else _place(text, begin, str(name), str(key))
        if place is None or _number(text, place) == _number(text, begin):
            return f"file, {line}"
        return f"file, line {_number(text, place)}, of [profiles.{str(name)[:32]}] in {line}"
    return "file"


def _is_taken(name: str, table: object) -> bool:
    try:
        setting_forms.profiles({name: table})
    except ValueError:
        return False
    return True


def _quoted(name: str) -> str:
    return rf"""["']?{re.escape(name)}["']?"""


def _begin(text: str, name: str) -> int | None:
    """Where a profile begins: as a table, as one of a dotted name, or as a key of ``[profiles]``."""
    forms = (
        rf"^[ \t]*\[\[?\s*profiles\s*\.\s*{_quoted(name)}\s*[\].]",
        rf"^[ \t]*profiles\s*\.\s*{_quoted(name)}\s*[.=]",
        rf"^[ \t]*{_quoted(name)}\s*[.=]",
    )
    return next((match.start() for form in forms if (match := re.search(form, text, re.MULTILINE))), None)


def _place(text: str, begin: int, name: str, key: str) -> int | None:
    """Where a key of a profile stands: alone on its line, behind a dotted name, or as a table of its own."""
    dotted = rf"(?:(?:profiles\s*\.\s*)?{_quoted(name)}\s*\.\s*)?"
    forms = (rf"^[ \t]*{dotted}{_quoted(key)}\s*[.=]", rf"^[ \t]*\[\[?\s*{dotted}{_quoted(key)}\s*\]")
    found = (re.compile(form, re.MULTILINE).search(text, begin) for form in forms)
    return min((match.start() for match in found if match), default=None)


def _number(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
