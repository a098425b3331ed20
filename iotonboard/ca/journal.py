"""Writing a journal: what the trail tells since a row, and the rows that it names, under the signature of the CA."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError, StateError
from iotonboard.exchange.journal import NO_ACL, TRAIL, JournalHead, TrailPoint, encode_trail, pack_part, sign_head
from iotonboard.exchange.tables import TABLES, encode_rows
from iotonboard.pki.key_id import key_id
from iotonboard.state.office_orders import standing_orders
from iotonboard.store import audit, told_rows
from iotonboard.store.trail_rows import chained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority
    from iotonboard.exchange.journal import Part, SignedHead
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

WRITTEN = "journal_written"  # single value: when one was written last
_BROKEN = "somebody changed the database: 'iotonboard audit verify' and 'health --deep' say more"


def point_at(store: Store, row: int) -> TrailPoint:
    """A row of the trail, from which a journal can begin; 0 is before the first.

    Raises:
        NotFoundError: there is no such row.
    """
    newest = audit.head(store).seq
    found = (audit.hash_of(store, row) if row <= newest else None) if row else audit.GENESIS
    if found is None:
        raise NotFoundError(f"the trail has no row {row}", hint=f"its newest is {newest}; --full tells everything")
    return TrailPoint(row, found)


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal says of itself, that as it is ``signed``, and its parts' octets.

    ``left_out``: how many rows of which table are not as the trail says they are, and so are not told.
    """

    head: JournalHead
    signed: SignedHead
    parts: tuple[bytes, ...]
    left_out: Mapping[str, int]


def write_journal(state: State, authority: Authority, now: datetime, since: TrailPoint, program: str) -> Journal:
    """A journal from ``since`` to the newest row, inside the caller's transaction, which sealed the trail.

    ``program``: the version that writes. Nothing is signed that somebody else wrote into the database: such rows are
    left out.

    Raises:
        StateError: the trail is not whole.
    """
    left_out: dict[str, int] = {}
    made = list(_parts(state.store, since.row, left_out))
    newest, active, orders = audit.head(state.store), authority.active, standing_orders(state)
    head = JournalHead(
        key_id(active.certificate_der), now, since, TrailPoint(newest.seq, newest.hash), _acl(state),
        tuple(part for part, _ in made), orders.office if orders else "", orders.number if orders else 0, program,
    )  # fmt: skip
    signed = sign_head(head, active.issuer.signer, active.chain)
    return Journal(head, signed, tuple(content for _, content in made), left_out)


def _acl(state: State) -> dict[str, object]:
    if state.main:
        return {"style": NO_ACL, "topics": []}
    return {"style": state.config["acl.style"], "topics": list(state.config["acl.topics"])}


def _parts(store: Store, since: int, left_out: dict[str, int]) -> Iterator[tuple[Part, bytes]]:
    """The trail, then each table of which there is something to tell; a full journal has nothing that is gone."""
    yield pack_part(TRAIL, encode_trail(_whole_trail(store, since)))
    digests = told_rows.digests_since(store, [table.name for table in TABLES], since_seq=since)
    for table in TABLES:
        told, said = told_rows.Told(), digests.pop(table.name)
        rows = told_rows.rows_as_told(store, table.name, table.columns, table.needs, said, told, are_all=not since)
        lines = chain(encode_rows(rows), encode_rows((), told.gone if since else ()))
        part, content = pack_part(table.name, lines)
        if told.left_out:
            left_out[table.name] = told.left_out
        if part.rows:
            yield part, content


def _whole_trail(store: Store, since: int) -> Iterator[tuple[Sequence[object], bytes]]:
    expected = since + 1
    for values, digest in chained(store, since_seq=since):
        if not values:
            raise StateError(f"row {expected} of the trail does not follow from the one before", hint=_BROKEN)
        yield values, digest
        expected += 1
