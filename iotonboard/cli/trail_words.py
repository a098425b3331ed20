"""Rows of the audit trail as a person reads them: words instead of JSON, serials and hashes by their beginning."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.store.trail_rows import AuditRow

_HASH = re.compile(r"\b(?:[0-9A-Fa-f]{32,}|[0-9A-Za-z+/]{100,}=*)(?!\w)")  # or octets in Base64
_SHOWN = 12  # hexadecimal digits of a serial or a hash: enough to tell it from the others
_CUT = "..."


def trail_table(rows: Iterable[AuditRow], *, full: bool) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Headings and rows of a table; ``full``: nothing is shortened, and the machine is named too."""
    columns = ("ROW", "TIME", "WHO", *(["MACHINE"] if full else []), "VERB", "ABOUT", "WHAT")
    return columns, (_texts(row, full=full) for row in rows)


def _texts(row: AuditRow, *, full: bool) -> tuple[str, ...]:
    number, moment = str(row.seq), rfc3339(row.time)
    words = _words(row.detail, serial=row.serial, is_short=not full)
    if full:
        return number, moment, row.operator, row.host, row.command, row.subject, words
    who = row.operator.partition(" (")[0]
    return number, moment, who, row.command, row.subject, _HASH.sub(lambda found: found[0][:_SHOWN] + _CUT, words)


def _words(detail: str, *, serial: str = "", is_short: bool = False) -> str:
    """A row's JSON in words; what is no JSON, in a row that somebody changed, stays as it is.

    ``is_short``: of the rows that it seals, how many of which table.
    """
    try:
        values = json.loads(detail)
    except ValueError:
        return detail
    if is_short and isinstance(values, dict) and isinstance(values.get("rows"), dict):
        counts = ", ".join(
            f"{table.replace('_', ' ')} {len(each) if isinstance(each, dict | list) else 1}"
            for table, each in values.pop("rows").items()
        )
        said = [f"seals what was written: {counts}", *_facts(values)]
    else:
        said = list(_facts(values)) if isinstance(values, dict) else [_value(values)]
    return ", ".join([f"serial {serial}", *said] if serial else said)


def _facts(values: dict[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        name = key.replace("_", " ")
        if isinstance(value, bool):
            yield name if value else f"not {name}"
        elif key == "dated" and "revoked" in values:
            yield f"dated {value} (early, for clocks that are behind)"
        else:
            yield f"{name} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(_facts(value))})" if value else "none"
    if isinstance(value, list):
        return " ".join(map(_value, value)) or "none"
    return "none" if value is None or value == "" else str(value)
