"""What the columns of a list mean: which one names the device, which have a meaning, and what is an attribute."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.enrolment.request import OF_A_DEVICE
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# A results file, known by this header, or JSON lines with these keys.
RESULTS = ("line", "device_id", "serial", "fingerprint", "bundle", "status", "error")
# What other verbs than ``register`` understand beside the id.
OF_A_TARGET = ("serial", "fingerprint", "reported_fingerprint")
_OWN_OUTPUT = frozenset({"schema", "command"})  # keys of every object that the program prints
_ID = "device_id"
SEPARATORS = ",;\t|"
# How others call the id, without case, blanks and punctuation.
_ID_WORDS = frozenset({"deviceid", "id", "device", "thingname", "geräteid", "geraeteid"})
# As they are spelled most often, for what is asked of every row; no short ones, which might be values.
_ID_NAMES = frozenset({_ID, "Device ID", "deviceId", "DeviceId", "deviceID", "DeviceID", "DEVICE_ID", "ThingName"})
# Headers of one column that is not the id; every other line without a separator is one.
_HEADER_WORDS = frozenset(
    {
        "deviceids",
        "ids",
        "devices",
        "things",
        "assetid",
        "clientid",
        "sensorid",
        "machineid",
        "uuid",
        "guid",
        "deveui",
        "identifier",
        "kennung",
        "gerät",
        "geräte",
        "name",
        "csr",
        "keytype",
        "validitydays",
        "topics",
        "serial",
        "serialnumber",
        "serialno",
        "seriennummer",
        "fingerprint",
        "reportedfingerprint",
        "devicename",
        "hostname",
        "mac",
        "macaddress",
        "imei",
        "line",
        "status",
        "bundlepassword",
    }
)
_CHECKED_FROM = 5  # letters; shorter names have too many neighbours
_SHOWN = 80
_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a verb makes of a list.

    ``field`` says as what a column is kept (its name and place; empty: not at all), ``known`` are the names that have a
    meaning beside the id. With ``is_whole`` every value counts, so that no column may stand there without a name.
    ``needs_id``: a row without an id is refused. ``also_names``: columns that stand for the id's. ``is_exact``: only
    ``device_id`` and ``id`` stand for it unasked; a script says what it means.
    """

    field: Callable[[str, int], str]
    known: tuple[str, ...]
    is_whole: bool = False
    needs_id: bool = True
    also_names: frozenset[str] = frozenset()
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a list: their names, what each is kept as, and which names the device (none: ``None``).

    ``renamed`` are those that are kept as attributes of another name, with it.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...]
    id_at: int | None
    is_results: bool
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def id_name(self) -> str:
        """The name of the id's column, empty where there is none."""
        return "" if self.id_at is None else self.names[self.id_at]


@functools.lru_cache(maxsize=1024)
def key_of(name: str) -> str:
    """A column's name without case, blanks and punctuation: ``Device ID`` and ``device-id`` are one."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def is_id_word(value: str, header: str = "") -> bool:
    """Say whether what stands in the place of an id is a header: the list was put together from several.

    ``device`` is one only where ``header``, the id's column, is called that.
    """
    key = key_of(value) if len(value) <= max(16, len(header)) else ""
    return key in _ID_WORDS - {"device"} or (bool(key) and key == key_of(header))


def _word_of(name: str) -> str:
    """A column's name as ``key_of`` has it; empty where it holds a separator, and is several: ``device,id``."""
    return "" if any(separator in name for separator in SEPARATORS) else key_of(name)


def holds_header(values: Sequence[str]) -> bool:
    """Say whether a row is the header of a list whose columns have another order."""
    return not _ID_NAMES.isdisjoint(values)


def is_run_together(value: str, header: str) -> bool:
    """Say whether the header of another list follows an id without a line end between: ``press-2device_id``."""
    return value.endswith(header) and value != header and header in _ID_NAMES


def is_plain_id(names: Sequence[str], id_column: str) -> bool:
    """Say whether a first line of one value is a device whatever it resembles: no header has a digit."""
    return len(names) == 1 and not id_column and any(letter.isdigit() for letter in names[0])


def is_header_word(value: str) -> bool:
    """Say whether a line of one value is a header that does not name the device."""
    return key_of(value) in _HEADER_WORDS


def find_id(names: Sequence[str], id_column: str) -> int | None:
    """Which column names the device: the one that was named, ``device_id``, or the only one that is called so.

    Raises:
        PolicyError: there are several, or none is called ``id_column``.
    """
    if id_column:
        found = [number for number, name in enumerate(names) if name == id_column] or [
            number for number, name in enumerate(names) if name and _word_of(name) == key_of(id_column)
        ]
        if not found:
            raise PolicyError(f"there is no column {id_column[:_SHOWN]!r}", hint=f"its columns are: {_shown(names)}")
    else:
        found = [number for number, name in enumerate(names) if _word_of(name) in _ID_WORDS]
        own = [number for number in found if key_of(names[number]) in ("deviceid", "id")]
        found = own if _ID in names else found
    if len(found) > 1:
        which = _shown(names[number] for number in found)
        raise PolicyError(
            f"more than one column names the device: {which}",
            hint="give one of them another name, or say which with --id-column NAME",
        )
    return found[0] if found else None


def no_id(names: Sequence[str]) -> PolicyError:
    """The error of a list whose header names no device."""
    named = [name for name in names if name]
    example = named[0][:_SHOWN] if named else "NAME"
    return PolicyError(
        f"there is no column 'device_id', nor one that is known to name the device: {_shown(names)}",
        hint=f"say which one does, for example --id-column {example!r}; the first line of a list names its columns",
    )


def refuse_misspelt(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a column whose name is one letter off one that has a meaning, where that one is not there.

    Raises:
        PolicyError: of the first one.
    """
    keys = {name: key_of(name) for name in names if name}
    meant = {key_of(name): name for name in (_ID, *known) if len(name) >= _CHECKED_FROM}
    for name, key in keys.items():
        for word in meant.keys() - set(keys.values()):
            if key not in meant and key not in _ID_WORDS and _is_one_letter_off(key, word):
                raise PolicyError(
                    f"column {name[:_SHOWN]!r} is one letter off {meant[word]!r}",
                    hint=f"call it {meant[word]!r}, or give a column of your own another name",
                )


def _is_one_letter_off(one: str, other: str) -> bool:
    """Whether one letter is missing, added or another, or two neighbours changed places."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, rest_of_other = one[same:], other[same:]
    return (
        rest[1:] == rest_of_other
        or rest == rest_of_other[1:]
        or rest[1:] == rest_of_other[1:]
        or (rest[:2] == rest_of_other[:2][::-1] and rest[2:] == rest_of_other[2:])
    )


def is_results(names: Iterable[str]) -> bool:
    """Say whether these are the columns of a results file, or the keys of an object that the program printed."""
    found = tuple(names)
    return found == RESULTS or _OWN_OUTPUT.issubset(found) or (len(found) == len(RESULTS) == len({*found, *RESULTS}))


@functools.lru_cache(maxsize=1024)
def field_of(name: str, number: int = 0) -> str:
    """What a column is kept as: a field that has a meaning, or an attribute's name made of the column's.

    Blanks and what no attribute's name may hold become underscores. ``number`` is its place, for a name of which
    nothing is left.
    """
    key = key_of(name)
    for known in OF_A_DEVICE:
        if key == key_of(known):
            return known
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS)).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", plain)
    plain = plain if plain == name else plain.strip("_")
    return plain.lstrip(".-")[:64] or (f"column_{number}" if name else "")


def refuse_secrets(names: Iterable[str]) -> None:
    """Refuse the file that takes passwords, whose columns would become attributes.

    Raises:
        PolicyError: it has the column of the passwords.
    """
    for name in names:
        if key_of(name) == "bundlepassword":
            raise PolicyError(
                f"column {name!r} holds secrets, and attributes are none", hint="leave it out of the list"
            )


def refuse_twice(names: Sequence[str]) -> None:
    """Refuse a header in which a column stands twice.

    Raises:
        PolicyError: one does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PolicyError(f"there is a column twice: {name[:_SHOWN]!r}", hint="give one of them another name")
        if name:
            seen.add(name)


def _shown(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:_SHOWN]) for name in list(names)[:12] if name) or "none"


@functools.lru_cache(maxsize=64)
def columns_of(names: tuple[str, ...], meaning: Meaning, id_column: str) -> Columns:
    """What these columns mean.

    Raises:
        PolicyError: the id is named twice or not at all, a name is one letter off one that has a meaning, or a column
            stands there twice.
    """
    if not id_column and is_results(names):
        own = tuple(name if name in ("serial", "fingerprint", "status", "error") else "" for name in names)
        return Columns(names, own, names.index("device_id") if "device_id" in names else None, is_results=True)
    id_at = find_id(names, id_column)
    if meaning.is_exact and not id_column and id_at is not None and names[id_at] not in (_ID, "id"):
        hint = f"call it {_ID!r}, or name it with --id-column {names[id_at][:_SHOWN]}"
        raise PolicyError(f"this line names no device: it has {names[id_at][:_SHOWN]!r}, not {_ID!r}", hint=hint)
    refuse_misspelt(names, meaning.known)
    keys = tuple("" if at == id_at else meaning.field(name, at + 1) for at, name in enumerate(names))
    refuse_twice(keys)
    refuse_twice(names)
    if meaning.is_whole:
        refuse_secrets(names)
    renamed = renamed_among(zip(names, keys, strict=True)) if meaning.is_whole else ()
    return Columns(names, keys, id_at, is_results=False, renamed=renamed)


def renamed_among(kept: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Of columns with what they are kept as, those that are attributes of another name."""
    return tuple((name, key) for name, key in kept if name and key not in ("", name, *OF_A_DEVICE))
