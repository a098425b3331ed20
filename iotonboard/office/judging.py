"""Whether a journal is believed, and how it joins what its station told before."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import ConflictError, PolicyError
from iotonboard.exchange.journal import TRAIL, split_head, unpack_part
from iotonboard.exchange.tables import BY_NAME, decode_rows
from iotonboard.model import rfc3339, to_epoch
from iotonboard.office.told_trail import Believed, read_trail, succeed
from iotonboard.pki.key_id import key_id
from iotonboard.store.registry.journals import journals_with_row, part_octets
from iotonboard.store.registry.stations import issuer_certificates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iotonboard.exchange.journal import JournalHead
    from iotonboard.office.decisions import Decisions, TrustedStation
    from iotonboard.office.journal_files import JournalFile
    from iotonboard.office.told_trail import ToldTrail
    from iotonboard.store.registry.registry import Registry

_PUT_BACK = (
    "bring the newest backup back at the station, or end the copy that is kept twice; where there is no newer one:"
    " iotonboard station put-back {} FILE, with its full journal"
)
_ASK = "at the station: iotonboard journal --full --out FILE"


@dataclass(frozen=True, slots=True)
class Judged:
    """A journal that joins. ``is_new``: it tells what was not taken yet; ``believed``: who is, once it is taken."""

    station: TrustedStation
    told: ToldTrail
    believed: Believed
    is_new: bool


def station_of(decisions: Decisions, certificate: bytes) -> TrustedStation | None:
    """The station that one of the believed CAs is of, known by its key."""
    key = key_id(certificate)
    return next((one for one in standing(decisions) if any(key_id(der) == key for der in one.cas)), None)


def standing(decisions: Decisions) -> list[TrustedStation]:
    """The stations that are trusted and not removed."""
    return [one for one in decisions.stations.values() if not one.is_removed]


def judge(registry: Registry, decisions: Decisions, file: JournalFile, parts: Mapping[str, bytes]) -> Judged:
    """Find the station of a journal, and hold its trail against what was taken.

    Raises:
        PolicyError: nobody here trusts its CA, it is damaged, or there is a gap before it.
        ConflictError: the station told another history before.
    """
    told = read_trail(file.head, parts)
    issuers = issuers_in(file.head, parts)
    station = station_of(decisions, file.signer)
    candidates = [station] if station else standing(decisions)
    for one in candidates:
        known = (*issuer_certificates(registry, one.id), *issuers, *file.signed.certificates)
        believed = succeed(Believed(one.cas, one.recovery), told, known)
        if station is None and key_id(file.signer) not in map(key_id, believed.cas):
            continue
        if key_id(file.signer) != file.head.key:
            raise PolicyError("the journal names another CA than the one that signed it", hint=_ASK)
        is_known = file.signed.digest in one.taken
        return Judged(one, told, believed, not is_known and _joins(registry, one, file.head, told))
    raise _unknown(decisions, file)


def judge_put_back(
    registry: Registry, station: TrustedStation, file: JournalFile, parts: Mapping[str, bytes]
) -> Judged:
    """Hold a full journal that tells another history than before against the CAs that were ever trusted.

    Raises:
        PolicyError: it is not the station's, damaged, not full, or joins what was taken.
    """
    told = read_trail(file.head, parts)
    known = (*issuer_certificates(registry, station.id), *issuers_in(file.head, parts), *file.signed.certificates)
    then, now = (
        succeed(before, told, known)
        for before in (Believed((station.certificate,)), Believed(station.cas, station.recovery))
    )
    if key_id(file.signer) not in map(key_id, (*then.cas, *now.cas)) or key_id(file.signer) != file.head.key:
        raise PolicyError(f"this is no journal of {station.name!r}", hint=_ASK)
    if not file.head.is_full:
        raise PolicyError("this journal does not tell everything", hint=_ASK)
    with contextlib.suppress(ConflictError):
        _joins(registry, station, file.head, told)
        raise PolicyError(
            f"{station.name!r} was not put back: the journal joins what was taken", hint="iotonboard station take FILE"
        )
    return Judged(station, told, then if key_id(file.signer) in map(key_id, then.cas) else now, is_new=True)


def issuers_in(head: JournalHead, parts: Mapping[str, bytes]) -> list[bytes]:
    """The CAs (DER) of which a journal tells."""
    table = BY_NAME["issuer"]
    der = table.columns.index("der")
    contents = (unpack_part(part, parts[part.name]) for part in head.parts if part.name == table.name)
    return [values[der] for content in contents for values, is_there in decode_rows(table, content) if is_there]


def _unknown(decisions: Decisions, file: JournalFile) -> PolicyError:
    key = key_id(file.signer)
    removed = [one.name for one in decisions.stations.values() if one.is_removed and key in map(key_id, one.cas)]
    if removed:
        return PolicyError(
            f"the station {removed[-1]!r} was removed",
            hint="'iotonboard station trust' takes it in again, if you mean to",
        )
    return PolicyError(
        f"nobody here trusts the CA {key} that signed it",
        hint="another plant's, or a station that is new: iotonboard station trust NAME ca.pem, with its ca.crt",
    )


def _joins(registry: Registry, station: TrustedStation, head: JournalHead, told: ToldTrail) -> bool:
    """Say whether a journal tells something new.

    Raises:
        PolicyError: rows are missing between what was taken and its first one.
        ConflictError: it tells another history.
    """
    known = station.until
    if head.since.row > known.row:
        raise PolicyError(
            f"a gap: the journals of {station.name!r} are taken up to row {known.row} of its trail, and this one begins"
            f" behind row {head.since.row}",
            hint=f"fetch what is between: at the station: iotonboard journal --since {known.row} --out FILE",
        )
    if head.until.row >= known.row:
        if told.hash_at(known.row) != known.hash:
            raise _fork(station, known.row)
        return head.until.row > known.row
    if taken_hash(registry, station, head.until.row) != head.until.hash:
        raise _fork(station, head.until.row)
    if to_epoch(head.created) > station.created:
        raise ConflictError(
            f"{station.name!r} was put back from an older copy: it told up to row {known.row} of its trail before, and"
            f" on {rfc3339(head.created)} it ends at row {head.until.row}",
            hint=_PUT_BACK.format(station.name),
        )
    return False


def _fork(station: TrustedStation, row: int) -> ConflictError:
    return ConflictError(
        f"{station.name!r} tells another history than it did before: row {row} of its trail is another one",
        hint=_PUT_BACK.format(station.name),
    )


def taken_hash(registry: Registry, station: TrustedStation, row: int) -> bytes | None:
    """The hash of a row of the trail that was taken; ``None`` where no kept journal tells of it any more."""
    if row == 0:
        return bytes(32)
    for kept in journals_with_row(registry, station.id, row):
        found, octets = split_head(kept.head), part_octets(registry, kept, TRAIL)
        if found is None or octets is None or found[0].digest not in station.taken:
            continue
        with contextlib.suppress(PolicyError):
            return read_trail(found[0].read(), {TRAIL: octets}).hash_at(row)
    return None


def in_order(files: Iterable[JournalFile]) -> list[JournalFile]:
    """Journals in an order in which each joins the one before, whatever their names."""
    return sorted(files, key=lambda one: (one.head.since.row, one.head.until.row, one.path))
