"""``health`` at an office: its trail, its key, its stations; ``--deep`` holds its rows against verified journals."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from iotonboard.health.difference import Difference
from iotonboard.health.finding import Finding, Status
from iotonboard.office.derived import open_derived
from iotonboard.office.judging import standing
from iotonboard.office.watching import CHECKS, look
from iotonboard.store.registry.merge import TABLES
from iotonboard.store.registry.watch import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from iotonboard.errors import IotOnboardError
    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.store.registry.registry import Registry

_TOLD = 20  # differences of one table of a station
_MERGED_OTHERWISE = frozenset({"crl"})  # earlier lists are forgotten at different times


def checks() -> list[tuple[str, str]]:
    """The names of the checks, each with what it is about."""
    return [(name, about) for name, (about, _) in CHECKS.items()]


def check(office: Office, names: Sequence[str] = ()) -> list[Finding]:
    """Run all checks, or those that are named."""
    return [Finding(one.name, Status(one.level), one.message, one.hint) for one in look(office, tuple(names))]


def unreachable(error: IotOnboardError) -> Finding:
    """What there is to say where the registry cannot be opened."""
    return Finding("registry", Status.FAILED, error.message, error.hint)


def find_differences(office: Office, unlock: Callable[[], OfficeKey]) -> list[Difference]:
    """Hold the registry's rows against what the journals tell; ``unlock`` is asked only where one is new.

    Raises:
        StateError: the trail is not believed, or of a station no journal can be verified any more.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    with open_derived(office, unlock) as derived:
        found = [Difference("journal", name, problem.message) for name, problem in derived.problems.items()]
        for station in standing(office.decisions):
            for table in TABLES:
                if table not in _MERGED_OTHERWISE and station.name not in derived.problems:
                    found += _differences(office.registry, derived.registry, table, station)
        return found


def _differences(ours: Registry, theirs: Registry, table: str, station: TrustedStation) -> Iterator[Difference]:
    """The rows of a table that are not as the journals tell, the first of them."""
    count, keys = 0, len(TABLES[table].keys) + 1
    for here, told in zip_longest(rows_of(ours, table, station.id), rows_of(theirs, table, station.id)):
        if here == told:
            continue
        count += 1
        if count > _TOLD:
            yield Difference(table, station.name, "and more of them")
            return
        row = here or told or ()
        where = f"{station.name}: {' '.join(_shown(value) for value in row[1:keys])}"
        if here is None:
            yield Difference(table, where, "a row of which a journal tells is gone from the registry")
        elif told is None:
            yield Difference(table, where, "no journal tells of this row")
        elif here[:keys] == told[:keys]:
            names = TABLES[table].columns
            changed = ", ".join(name for name, one, two in zip(names, here, told, strict=True) if one != two)
            yield Difference(table, where, f"the registry says something else than the journals: {changed}")
        else:
            yield Difference(table, where, "from here on the rows are not those of which the journals tell")
            return


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
