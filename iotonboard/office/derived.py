"""What is given out: a registry of this machine's own, made of the journals that the office took, and of nothing else.

Whoever administers the office's registry may write into its rows. So nothing is given out that stands in them: the
journals beside them are verified again, by their signatures and by the digests that the sealed trail names, and what
they tell lies in ``derived.db`` in the office's folder. ``derived.json`` has its SHA-256, which this machine's key
signed: a file that somebody changed, or that a kill left half done, is made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.files import PRIVATE, remove_file, write_atomic
from iotonboard.disk.reading import read_file, read_pieces
from iotonboard.errors import IotOnboardError, PolicyError, StateError
from iotonboard.exchange.journal import split_head
from iotonboard.office.merging import merge_journal
from iotonboard.office.office import WAIT_S, refuse_untrusted
from iotonboard.pki.key_id import key_id
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds
from iotonboard.store.registry import given_out
from iotonboard.store.registry.journals import journals, part_octets
from iotonboard.store.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iotonboard.exchange.journal import JournalHead, SignedHead
    from iotonboard.office.decisions import TrustedStation
    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.store.registry.journals import KeptJournal

FILE, SEAL = "derived.db", "derived.json"
_BESIDE = ("-wal", "-journal")  # what SQLite would take up when it opens the file
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Derived:
    """The registry that was derived. ``heads``: by the station's number, the newest journal that is in it.

    ``problems``: of each station whose newer journals could not be verified, its name and why. ``digest`` is that of
    the file.
    """

    registry: Registry
    heads: Mapping[int, JournalHead]
    problems: Mapping[str, StateError]
    digest: str


@contextlib.contextmanager
def open_derived(office: Office, unlock: Callable[[], OfficeKey]) -> Iterator[Derived]:
    """Open what is derived, with every journal that was taken; ``unlock`` is asked only where one is new.

    Raises:
        StateError: the trail is not believed, or of a trusted station nothing can be verified any more.
        KeyUnavailableError: the office's key does not open.
        BusyError: the disk or the registry refuses.
    """
    refuse_untrusted(office)
    path = os.path.join(office.root, FILE)
    if not (digest := _believed(office, path)):
        _forget(path)
    stations, problems = list(office.decisions.stations.values()), dict[str, StateError]()
    with contextlib.closing(_open(path)) as registry:
        behind = [one for one in stations if _merged(registry, one) < len(one.taken)]
        key = unlock() if behind else None
        for one in behind:
            try:
                _catch_up(office, registry, one)
            except StateError as error:
                if not one.is_removed:
                    problems[one.name] = error
        if behind:
            with registry.transaction():
                given_out.note_same_names(registry)
        heads = {one.id: head for one in stations if (head := _newest(registry, one))}
    if key is not None:
        digest = _seal(office, path, key)
    for one in stations:
        if one.name in problems and one.id not in heads:
            raise problems[one.name]
    with contextlib.closing(_open(path)) as registry:
        yield Derived(registry, heads, problems, digest)


def _open(path: str) -> Registry:
    registry = Registry.open(f"sqlite:///{path}", timeout_s=WAIT_S, create=True)
    given_out.make_fast(registry)
    return registry


def _forget(path: str) -> None:
    for name in (path, *(f"{path}{end}" for end in (*_BESIDE, "-shm"))):
        remove_file(name)


# -- whether the file is the one that was left ------------------------------------------------------------------------


def _believed(office: Office, path: str) -> str:
    """The digest of the file, where it is the one that this machine's key signed; empty where it is not."""
    beside = (f"{path}{end}" for end in _BESIDE)
    if not os.path.isfile(path) or any(os.path.exists(one) and os.path.getsize(one) for one in beside):
        return ""
    try:
        said = json.loads(read_file(os.path.join(office.root, SEAL), limit=_LARGEST))
        digest, signature = str(said["sha256"]), bytes.fromhex(said["signature"])
    except (ValueError, KeyError, TypeError, IotOnboardError):
        return ""
    is_signed = statement_holds(office.chain[0], _statement(office, digest), signature)
    return digest if is_signed and _digest(path) == digest else ""


def _seal(office: Office, path: str, key: OfficeKey) -> str:
    digest = _digest(path)
    said = {"sha256": digest, "signature": sign_statement(key.signer, _statement(office, digest)).hex()}
    write_atomic(os.path.join(office.root, SEAL), json.dumps(said).encode("ascii") + b"\n", PRIVATE)
    return digest


def _digest(path: str) -> str:
    found = sha256()
    for piece in read_pieces(path):
        found.update(piece)
    return found.hexdigest()


def _statement(office: Office, digest: str) -> bytes:
    return f"iotonboard office derived v1\n{office.memory.registry}\n{digest}\n".encode("ascii")


# -- journals ---------------------------------------------------------------------------------------------------------


def _name(station: TrustedStation) -> str:
    return f"journal:{station.id}"


def _newest_lines(registry: Registry, station: TrustedStation) -> SignedHead | None:
    lines = registry.value(_name(station))
    found = split_head(lines.encode("ascii")) if lines else None
    return found[0] if found else None


def _newest(registry: Registry, station: TrustedStation) -> JournalHead | None:
    found = _newest_lines(registry, station)
    return found.read() if found and found.digest in station.taken else None


def _merged(registry: Registry, station: TrustedStation) -> int:
    """How many of a station's journals are in the registry, as the trail counts them."""
    found = _newest_lines(registry, station)
    return station.taken.index(found.digest) + 1 if found and found.digest in station.taken else 0


def _catch_up(office: Office, registry: Registry, station: TrustedStation) -> None:
    """Merge what was taken of a station since, beginning with the newest journal that tells everything."""
    done = _merged(registry, station)
    kept = {one.number: one for one in journals(office.registry, station.id, behind=done)}
    found: list[tuple[KeptJournal, SignedHead, JournalHead]] = []
    for number in range(len(station.taken), done, -1):
        journal = kept.get(number)
        signed = _verify(journal, station.taken[number - 1]) if journal else None
        if journal is None or signed is None:
            raise _gone(station, number)
        found.append((journal, signed, signed.read()))
        if found[-1][2].is_full:
            break
    for journal, signed, head in reversed(found):
        octets = {part.name: part_octets(office.registry, journal, part.name) or b"" for part in head.parts}
        with registry.transaction():
            given_out.note_station(registry, station.id, station.certificate, office.clock())
            try:
                merge_journal(registry, station.id, head, octets)
            except PolicyError as error:
                raise _gone(station, journal.number) from error
            registry.set_value(_name(station), signed.lines().decode("ascii"))


def _verify(journal: KeptJournal, digest: str) -> SignedHead | None:
    """The head of a journal, where it is the one that was taken, and its signature holds of its CA."""
    try:
        found = split_head(journal.head)
    except PolicyError:
        return None
    if found is None or found[0].digest != digest or not found[0].certificates:
        return None
    signer = found[0].certificates[0]
    is_signed = found[0].holds(signer) and key_id(signer) == found[0].read().key
    return found[0] if is_signed else None


def _gone(station: TrustedStation, number: int) -> StateError:
    return StateError(
        f"journal {number} of {station.name!r} is gone from the registry, or was changed there",
        hint=f"fetch everything anew: at the station {station.name!r}: iotonboard journal --full --out FILE, and"
        " 'iotonboard station take FILE' here",
    )
