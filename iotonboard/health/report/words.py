"""What the trail and counts say, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.health.report.facts import Attribute

_LISTED = 8  # of a list, by name
_LONGEST = 400  # characters of one value


def detail_in_words(values: Mapping[str, object]) -> str:
    """The detail of a row of the trail: ``name: value`` pairs. What is too long says how much is not shown."""
    digests = values.get("rows")
    if isinstance(digests, dict):  # by table; nobody reads them
        count = sum(len(rows) for rows in digests.values() if isinstance(rows, dict))
        return f"seals {several(count, 'row')} of the database"
    return "; ".join(f"{_name(key)}: {_value(value)}{_why(key, values)}" for key, value in values.items())


def _why(key: str, values: Mapping[str, object]) -> str:
    """What nobody could know of a value."""
    return " (early, for clocks that are behind)" if key == "dated" and "revoked" in values else ""


def _name(key: str) -> str:
    return key.replace("_", " ")


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _listed([f"{_name(key)} {_value(inner)}" for key, inner in value.items()])
    if isinstance(value, list):
        return _listed([_value(inner) for inner in value])
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} and {len(text) - _LONGEST:,} more characters"


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - _LISTED:,} more" if len(parts) > _LISTED else ""
    return (", ".join(parts[:_LISTED]) or "none") + more


def attribute_in_words(attribute: Attribute) -> str:
    """How much of an attribute is shown: ``12 lines, the largest 8 shown, 4 more with 670 devices``."""
    said = several(attribute.values, attribute.name)
    if not attribute.shown:
        said += ", each of one device"
    elif attribute.more_values:
        more = f"{attribute.more_values:,} more with {_devices(attribute.more_devices)}"
        said += f", the largest {len(attribute.shown)} shown, {more}"
    if attribute.without:
        said += f"; {_devices(attribute.without)} without"
    return said


def several(number: int, name: str) -> str:
    """A number of things: ``1 line``, ``12 lines``, ``3 factories``, ``12 values of hw_rev``."""
    if not re.fullmatch("[a-z]+", name):
        return f"{number:,} value{'s' * (number != 1)} of {name}"
    return f"{number:,} {name if number == 1 else _plural(name)}"


def _plural(name: str) -> str:
    if re.search("[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + ("es" if re.search("(s|x|z|ch|sh)$", name) else "s")


def _devices(number: int) -> str:
    return several(number, "device")
