"""Column definitions with a ``CHECK`` that is named after the column: what it holds, the queries can make a record of.

A check and not a ``STRICT`` table, which needs SQLite 3.37: RHEL 9 has 3.34. Every length is in octets.
"""

from __future__ import annotations

from iotonboard.model import EARLIEST, LATEST
from iotonboard.store.values import can_be_device_id

_LONGEST_TEXT = 1 << 20  # longer than any name, path or detail
_LONGEST_OCTETS = 1 << 24  # longer than any certificate, key or bundle


def column(name: str, kind: str, rule: str, constraints: str = "", *, null: bool = False) -> str:
    """A column that holds only what ``rule`` allows; ``constraints``: keys and references."""
    checked = f"{name} IS NULL OR {rule}" if null else rule
    words = (name, kind, "" if null else "NOT NULL", constraints, check(name, checked))
    return " ".join(filter(None, words))


def check(name: str, rule: str) -> str:
    """A named check; the name is what SQLite tells when it refuses a row."""
    return f"CONSTRAINT {name} CHECK ({rule})"


def row_number(name: str) -> str:
    """The key of a table, given by SQLite."""
    return f"{name} INTEGER PRIMARY KEY {check(name, f'{name} > 0')}"


def reference(name: str, parent: str, constraints: str = "", *, null: bool = False) -> str:
    """The row number of another table's row."""
    return number(name, 1, constraints=f"{constraints} REFERENCES {parent}(id)".strip(), null=null)


def number(name: str, least: int, most: int = (1 << 63) - 1, constraints: str = "", *, null: bool = False) -> str:
    """A whole number in a range."""
    return column(name, "INTEGER", is_number(name, least, most), constraints, null=null)


def time(name: str, *, null: bool = False) -> str:
    """Seconds since 1970 in UTC."""
    return number(name, EARLIEST, LATEST, null=null)


def text(
    name: str, least: int = 0, most: int = _LONGEST_TEXT, constraints: str = "", *, also: str = "", null: bool = False
) -> str:
    """Text without NUL, behind which SQLite does not look; ``also``: a further rule."""
    rule = f"({is_text(name, least, most)} AND {also})" if also else is_text(name, least, most)
    return column(name, "TEXT", rule, constraints, null=null)


def one_of(name: str, *words: str, null: bool = False) -> str:
    """One of some words."""
    return text(name, also=f"{name} IN ({', '.join(map(repr, words))})", null=null)


def json_object(name: str) -> str:
    """A JSON object."""
    return text(name, 2, also=f"json_valid({name}) AND json_type({name}) = 'object'")


def octets(name: str, least: int = 1, most: int = _LONGEST_OCTETS, constraints: str = "", *, null: bool = False) -> str:
    """A blob."""
    return column(name, "BLOB", is_blob(name, least, most), constraints, null=null)


def digest(name: str, constraints: str = "") -> str:
    """A SHA-256."""
    return column(name, "BLOB", is_blob(name, 32, 32), constraints)


def serial(constraints: str = "") -> str:
    """A certificate's serial number: 20 octets, positive (RFC 5280 4.1.2.2)."""
    rule = f"({is_blob('serial', 20, 20)} AND serial > zeroblob(20) AND serial < x'80')"
    return column("serial", "BLOB", rule, constraints)


def device_id(constraints: str) -> str:
    """A device id, in the grammar of ``model.DeviceId``."""
    reserved = ("con", "prn", "aux", "nul", "com[0-9]", "lpt[0-9]")  # by Windows
    letters = ", ".join(repr(word[:3]) for word in reserved)
    is_other = " AND ".join(f"lower(device_id) || '.' NOT GLOB '{word}.*'" for word in reserved)
    rules = (
        "device_id GLOB '[A-Za-z0-9]*'",
        "device_id NOT GLOB '*[^A-Za-z0-9._-]*'",
        "device_id NOT GLOB '*.'",
        f"(lower(substr(device_id, 1, 3)) NOT IN ({letters}) OR {is_other})",
    )
    return text("device_id", 1, 64, constraints, also=" AND ".join(rules))


def any_device_id(constraints: str) -> str:
    """The id of a device, adopted or not: as ``model.DeviceId.adopted``, as far as SQL can say it."""
    return text("device_id", 1, 256, constraints, also=can_be_device_id("device_id"))


def is_number(name: str, least: int, most: int = (1 << 63) - 1) -> str:
    """The rule of ``number``."""
    return f"(typeof({name}) = 'integer' AND {name} BETWEEN {least} AND {most})"


def is_text(name: str, least: int, most: int) -> str:
    """The rule of ``text``."""
    length = f"length(CAST({name} AS BLOB)) BETWEEN {least} AND {most}"
    return f"(typeof({name}) = 'text' AND {length} AND instr({name}, char(0)) = 0)"


def is_blob(name: str, least: int, most: int) -> str:
    """The rule of ``octets``."""
    return f"(typeof({name}) = 'blob' AND length({name}) BETWEEN {least} AND {most})"
