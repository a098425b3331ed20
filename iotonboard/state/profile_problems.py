"""Certificate profiles of the settings that cannot be taken, with the lines of ``iotonboard.toml`` that are meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.model import MQTT_PROFILE
from iotonboard.pki.profile_form import parse_profile

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse_bad_profiles(tables: Mapping[str, Any], text: str = "") -> None:
    """Refuse the first profile that cannot be taken; ``text`` is the file that has it.

    Raises:
        PolicyError: there is one; the message names it, and where the file has what is wrong.
    """
    for name, table in tables.items():
        if problem := _problem(name, table):
            place = _where(text, name, table) if text else "file"
            raise PolicyError(f"profiles ({place}): {problem}", hint="see: iotonboard help profiles")


def _problem(name: str, table: object) -> str:
    if name == MQTT_PROFILE:
        return f"profile {name!r} is what the broker's clients get, and is not changed: give it another name"
    try:
        parse_profile(name, table)
    except PolicyError as error:
        return error.message
    return ""


def _where(text: str, name: str, table: object) -> str:
    """The line of the key without which a profile could be taken, and that of its table."""
    begin = _begin(text, name)
    if begin is None:
        return "file"
    line, keys = f"line {_number(text, begin)}", table if isinstance(table, dict) else {}
    key = next((key for key in keys if not _problem(name, {one: keys[one] for one in keys if one != key})), None)
    place = None if key is None else _place(text, begin, name, str(key))
    if place is None or _number(text, place) == _number(text, begin):
        return f"file, {line}"
    return f"file, line {_number(text, place)}, of [profiles.{name[:32]}] in {line}"


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
