"""Whether another copy of this state is at work: told from what it published.

A folder that was copied to try something, a snapshot put back, two machines on one state: the places of publication
then hold a CRL of this CA, or a region of its ACL, that this database did not write. Which copy is the right one, no
file can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker import region
from iotonboard.ca import absorption
from iotonboard.disk.reading import read_pieces
from iotonboard.errors import IotOnboardError
from iotonboard.pki import crl
from iotonboard.state import foreign_lists, region_change
from iotonboard.state.places import Place, is_as_left

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.broker.region import Change
    from iotonboard.state.state import State


def absorb_published(state: State, now: datetime) -> int:
    """Take up what another copy of this state published, inside the transaction that signs the next lists.

    A CRL of this CA in the place of publication that the database does not know: its revocations are recorded, its
    number is passed, and nothing is issued any more until ``restore --crl`` (``state/region_change``). While the state
    is being made it is the list of the program that had the CA. Returns how many revocations were not known.
    """
    taken_up, is_being_made = 0, state.store.meta("initialised") is None
    for issuer, crls in foreign_lists.unknown_crls(state).items():
        number = max(crl.any_crl_facts(der).number for der in crls)
        taken_up += absorption.absorb(state, issuer, crls, now)
        if not is_being_made:
            region_change.note_other_copy(state, f"it signed CRL {number} in {state.paths.crl!r}", now)
    change = _region_in_place(state)
    if change is not None:
        region_change.meet_region(state, change, state.paths.acl, now)
    return taken_up


def refuse_copies(state: State) -> None:
    """Refuse where another copy of this state is at work; what is published is looked at when it changed.

    Raises:
        ConflictError: another copy was seen, now or before.
    """
    region_change.refuse_other_copy(state)
    for crls in () if is_as_left(state, Place.CRL) else foreign_lists.unknown_crls(state).values():
        number = max(crl.any_crl_facts(der).number for der in crls)
        raise region_change.other_copy_error(state, f"it signed CRL {number} in {state.paths.crl!r}")
    change = _region_in_place(state)
    if change is not None and not region_change.is_foreign(state, change) and not region_change.is_own(state, change):
        raise region_change.other_copy_error(
            state, f"it wrote change {change.number} of the ACL into {state.paths.acl!r}"
        )


def _region_in_place(state: State) -> Change | None:
    """What the ACL's region says of itself when the file is not the one that was published last."""
    if is_as_left(state, Place.ACL):
        return None
    try:
        return region.stream_operator_text(read_pieces(state.paths.acl)).change
    except IotOnboardError:  # whoever writes the region says what is wrong with it
        return None
