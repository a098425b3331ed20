"""Checks of the CAs above ours: how long they last, and what their lists say that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.health.finding import Outcome, Status, failed, ok, warning
from iotonboard.model import rfc3339
from iotonboard.state.cas_above import NEWER_ROOT_LIST, cas_above, is_revoked_above
from iotonboard.state.chain import has_planted_chain
from iotonboard.store.issuers import current_issuers
from iotonboard.store.kind import is_root
from iotonboard.store.stations import newest_of_each

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.state.cas_above import CaAbove
    from iotonboard.state.state import State


def root(state: State) -> Outcome:
    """Every CA above ours has time left, and a list of it is here that revokes none of ours and has time left too.

    A broker asks no list of a CA above: one that ended locks nobody out. But whoever carries it learns from it which
    stations are to be let in no more.
    """
    issuers, now = current_issuers(state.store), state.clock()
    if is_root(state.store):
        return _stations(state, now)
    above = cas_above(state.store, issuers)
    if any(has_planted_chain(state.store, issuer) for issuer in issuers):
        message = "a chain is recorded that our CA did not sign: it goes out nowhere"
        return failed(
            message, "type: iotonboard ca install FILE, with the root's answer; 'health --deep' names the row"
        )
    if not above:
        return ok("no CA stands above ours")
    if any(is_revoked_above(state.store, issuer) for issuer in issuers):
        message = "the CA above ours revoked it: brokers that hear of it take its devices out"
        return failed(message, "ask whoever keeps the root; a new CA: iotonboard init-ca --below-root")
    outcomes = [_of(ca, now, int(state.config["expiring.ca_days"])) for ca in above]
    return next((one for one in outcomes if one.status is not Status.OK), outcomes[0])


def _stations(state: State, now: datetime) -> Outcome:
    """At a root: the first of its stations that ends."""
    every = newest_of_each(state.store)
    if not every:
        return ok("no station is certified")
    first = every[0]
    left, name, ends = (first.validity.not_after - now).days, repr(first.name), rfc3339(first.validity.not_after)
    if first.validity.not_after <= now:
        message = f"the station {name} ended on {ends}: its devices are refused"
    elif left < state.config["expiring.ca_days"]:
        message = f"the station {name} ends on {ends}, with all that it issued"
    else:
        return ok(f"{len(every)} stations, the first of which ends in {left} days")
    return warning(message, "at the station: iotonboard ca request --out FILE; one that is gone: iotonboard ca revoke")


def _of(ca: CaAbove, now: datetime, days: int) -> Outcome:
    left = (ca.not_after - now).days
    if left < 0:
        message = f"{ca.name!r}, which is above our CA, ended on {rfc3339(ca.not_after)}: every device is refused"
        return failed(message, "at the root: iotonboard help root")
    if left < days:
        return warning(f"{ca.name!r}, which is above our CA, has {left} days left", "at the root: iotonboard help root")
    if ca.crl is None:
        return warning(f"no list of {ca.name!r} is here: nothing tells which stations it revoked", NEWER_ROOT_LIST)
    ends, life = ca.crl.next_update, ca.crl.next_update - ca.crl.this_update
    if ends <= now:
        return warning(f"our copy of the list of {ca.name!r} ended on {rfc3339(ends)}", NEWER_ROOT_LIST)
    if ends - now < life / 3:
        return warning(f"our copy of the list of {ca.name!r} ends on {rfc3339(ends)}", NEWER_ROOT_LIST)
    return ok(f"{ca.name!r} has {left} days left, our copy of its list {(ends - now).days}")
