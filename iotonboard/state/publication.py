"""From committed rows to files: small steps, each of which fails alone.

A command records its change in one transaction and publishes in a second one: ``publish(state, *steps)``. Each step
compares what is recorded with what was noted as published, writes what differs and leaves everything else alone. So a
command that comes after one that was killed finishes what that one left, and publishing twice changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from iotonboard.disk.files import PUBLIC, sweep_staging, write_atomic
from iotonboard.disk.permissions import check_plain
from iotonboard.disk.reading import file_mark
from iotonboard.errors import BusyError, ConflictError, DamageError, IotOnboardError, Unpublished, UnpublishedError
from iotonboard.pki import pem
from iotonboard.state import device_files, fetched_crl, foreign_lists, generations, outbox, replaced_files, trust
from iotonboard.state.acl_file import broker_placement, mark_acl, write_acl
from iotonboard.state.alone import alone, as_told, attempt
from iotonboard.state.broker_chains import write_folder_certificates
from iotonboard.state.chain import going_out, published_cas
from iotonboard.state.denied import read_denied
from iotonboard.state.layout import ADDED_CAS
from iotonboard.state.places import (
    SEEN_ACL,
    SEEN_CRL,
    Place,
    check_here,
    is_as_left,
    is_away,
    note_published,
    number_there,
    was_published,
)
from iotonboard.store import damage
from iotonboard.store.issuers import current_issuers, rows_with_chains
from iotonboard.store.left_to_do import (
    TRUST_CHANGES,
    TRUST_PUBLISHED,
    has_open_delivery,
    has_replaced_files_left,
)
from iotonboard.store.newest_lists import generation_ders, newest_generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow

Step = Callable[["State"], list[Unpublished]]
_TRUST_STEP = 1_000_000_000
_FIRST_CA = "1"  # row of the CA that 'init-ca' made: what ca.crt holds until another one is published


def publish(state: State, *steps: Step) -> list[Unpublished]:
    """Take the named steps under the write lock; returns what could not be written.

    CRL, CA file and ACL come first, in this order, and then the other steps as they are named: whatever stands in the
    way of a device's files holds no revocation back. The notes of what was published need not survive a power cut:
    without them the next command writes the same again. Deliveries have transactions of their own, behind all others.
    """
    first, rest = (publish_crl, publish_ca, publish_acl), (step for step in steps if step is not settle_deliveries)
    waiting = list(dict.fromkeys((*(step for step in first if step in steps), *rest)))
    unpublished: list[Unpublished] = []
    while waiting:
        left = len(waiting)
        try:
            with state.noting(durable=False):
                _sweep(state)
                while waiting:
                    unpublished += waiting.pop(0)(state)
        except Exception as error:  # the database refuses to note it; the other files are written all the same
            unpublished.append(Unpublished("database", state.paths.database, as_told(error, state.paths.database)))
            if len(waiting) == left:  # the lock was not to be had
                break
    return unpublished + (settle_deliveries(state) if settle_deliveries in steps else [])


def publish_recorded(state: State, *steps: Step) -> list[Unpublished]:
    """``publish`` the steps, or everything, for a command that has recorded: Ctrl-C is told like any other obstacle."""
    refused: list[Unpublished] = []
    interrupted = attempt("publication", state.paths.root, lambda: refused.extend(publish(state, *steps or EVERYTHING)))
    if any(isinstance(one.error, DamageError) for one in refused) and damage.rebuild_unreadable(state.store):
        return publish_recorded(state, *steps)
    return refused + interrupted


def publish_added(cas: Opened) -> list[Unpublished]:
    """``publish_recorded`` for each CA that was added to a state; what is wrong with one holds no other back."""
    refused: list[Unpublished] = []

    def publish_one(name: str) -> None:
        refused.extend(publish_recorded(cas.state(name)))

    for name in cas.names:
        path = os.path.join(cas.around.paths.root, ADDED_CAS, name)
        refused += attempt("publication", path, partial(publish_one, name))
    return refused


def refuse_unpublished(unpublished: Sequence[Unpublished]) -> None:
    """End a command that could not publish everything; what it recorded stays, and the next command publishes it.

    Raises:
        UnpublishedError: there is something in ``unpublished``.
    """
    if unpublished:
        raise UnpublishedError(unpublished)


def published_numbers(state: State) -> tuple[int, int]:
    """Numbers of the CRL and ACL that were published last: other ones than before are what a broker has to read."""
    return int(state.store.meta("crl_published") or 0), int(state.store.meta("acl_published") or 0)


def reload_behind(state: State, reload: Callable[[], None]) -> None:
    """Reload the broker behind what is recorded and published.

    Raises:
        UnpublishedError: it was not reloaded; what is published stays.
    """
    refuse_unpublished(try_reload(state, reload))


def try_reload(state: State, reload: Callable[[], None]) -> list[Unpublished]:
    """Reload the broker; returns that it was not, for who goes on."""
    return attempt("reload", str(state.config["broker.reload"]), reload)


def _sweep(state: State) -> None:
    """Delete what an interrupted command of any kind left beside the files that it was about to replace."""
    paths = state.paths
    published = (paths.acl, paths.crl, *filter(None, [paths.broker_ca]))
    for folder in {paths.root, paths.certs, *map(os.path.dirname, published), *_folders_in(paths.brokers)}:
        with contextlib.suppress(IotOnboardError):  # the step that writes there says it better
            sweep_staging(folder)


def _folders_in(path: str) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def publish_crl(state: State) -> list[Unpublished]:
    """Write the newest generation's CRLs: before the CA file, since a broker refuses every device of a CA without."""
    refused = alone(state, "crl", state.paths.crl, partial(_write_crl, state))
    if state.config["crl_url"] or any(map(os.path.lexists, state.paths.fetched_crl)):
        refused += alone(state, "crl", state.paths.fetched_crl[0], partial(fetched_crl.write_fetched, state))
    if state.main:
        refused += alone(state, "crl", state.paths.crl_der, partial(fetched_crl.write_der, state))
    return refused


def _write_crl(state: State) -> None:
    newest = newest_generation(state.store)
    published = state.store.number("crl_published") or 0
    if newest < published:
        raise ConflictError(
            f"the database lost CRL generation {published}, which was published",
            hint="'iotonboard health --deep' names what was changed; bring the state back with 'restore --crl'",
        )
    changes = state.store.number(TRUST_CHANGES) or 0
    is_current = was_published(state, Place.CRL, newest) and (state.store.number(TRUST_PUBLISHED) or 0) == changes
    if is_current and (os.path.exists(state.paths.crl) or is_away(state, Place.CRL)):
        return
    if next(generation_ders(state.store), None) is None:
        return
    check_here(state, Place.CRL)
    check_plain(state.paths.crl)
    if not is_as_left(state, Place.CRL):
        foreign_lists.refuse_unknown(state)
    ders = chain(generation_ders(state.store), trust.foreign_crls(state))
    pieces = (piece for der in ders for piece in pem.checked_pieces("X509 CRL", der))
    write_atomic(state.paths.crl, pieces, broker_placement(state, state.paths.crl))
    state.store.set_meta("crl_published", newest)
    state.store.set_meta(TRUST_PUBLISHED, changes)
    note_published(state, Place.CRL, newest)
    state.store.set_meta(SEEN_CRL, file_mark(state.paths.crl))


def publish_ca(state: State) -> list[Unpublished]:
    """Write the certificates of the CAs that are trusted, into the folder of the CA and where the broker reads them."""
    refused = alone(state, "ca", state.paths.ca_certificate, partial(_write_ca, state))
    return refused + alone(state, "ca", state.paths.broker_ca, partial(_write_broker_ca, state))


def _write_ca(state: State) -> None:
    issuers = _issuers(state)
    is_current = _anchors(state, issuers) == _published_cas(state)
    if not published_cas(state.store, current_issuers(state.store)) or (
        is_current and (os.path.exists(state.paths.ca_certificate) or is_away(state, Place.CA))
    ):
        return
    check_here(state, Place.CA)
    write_atomic(state.paths.ca_certificate, trust.ca_file(state, current_issuers(state.store)), PUBLIC)
    state.store.set_meta("ca_published", _anchors(state, issuers))
    note_published(state, Place.CA)


def _write_broker_ca(state: State) -> None:
    path, issuers = state.paths.broker_ca, _issuers(state)
    if not path or not published_cas(state.store, current_issuers(state.store)):
        return
    # The CAs change by one that is added, or by one that goes: never is the same number another set of them.
    # With it goes how often those of others changed.
    number = 1000 * max((issuer.id for issuer in issuers), default=0) + len(issuers)
    number += _TRUST_STEP * (state.store.number(TRUST_CHANGES) or 0)
    is_current = number_there(state, Place.BROKER_CA) == number
    if is_current and (os.path.exists(path) or is_away(state, Place.BROKER_CA)):
        return
    check_here(state, Place.BROKER_CA)
    check_plain(path)
    write_atomic(path, trust.ca_file(state, current_issuers(state.store)), broker_placement(state, path))
    note_published(state, Place.BROKER_CA, number)


def lead_with_chain(state: State) -> None:
    """Let brokers have the chain of our CA before anything new trusts its root.

    Raises:
        BusyError: the CA file that has it cannot be written; nothing is certified or exported before.
    """
    has_chain = any(row[-1] is not None for row in rows_with_chains(state.store))
    if has_chain and (refused := publish(state, publish_crl, publish_ca)):
        error = refused[0].error
        raise BusyError(f"brokers here do not have the chain of this CA yet: {error.message}", hint=error.hint)


def ca_is_published(state: State) -> bool:
    """Say whether the CA file was written with the CAs that are trusted now, and no other."""
    return _anchors(state, _issuers(state)) == _published_cas(state)


def _issuers(state: State) -> list[IssuerRow]:
    """Our own CAs that go out; none in a state that waits for its root."""
    return going_out(state.store, current_issuers(state.store))


def _anchors(state: State, issuers: Sequence[IssuerRow]) -> str:
    """What names a set of CAs: our own by their rows, and how often those of others changed."""
    changes = state.store.number(TRUST_CHANGES) or 0
    return " ".join((*(str(issuer.id) for issuer in issuers), *([f"t{changes}"] if changes else ())))


def _published_cas(state: State) -> str:
    published = state.store.meta("ca_published")
    return _FIRST_CA if published is None else str(published)


def publish_acl(state: State) -> list[Unpublished]:
    """Write the ACL's managed region when a change of it, or of the settings that shape it, is not in the file."""
    if state.main:
        return []
    return alone(state, "acl", state.paths.acl, partial(_write_acl, state))


def _write_acl(state: State) -> None:
    changes = state.store.number("acl_changes") or 0
    # The settings may have been edited by hand, or by a 'config set' that was killed before its COMMIT.
    settings = "\n".join((state.config["acl.style"], *state.config["acl.topics"]))
    is_current = was_published(state, Place.ACL, changes)
    is_shaped = settings == state.store.meta("acl_settings")
    if is_current and is_shaped and (os.path.exists(state.paths.acl) or is_away(state, Place.ACL)):
        return
    check_here(state, Place.ACL)
    if is_current and not is_shaped:
        mark_acl(state)
    denied = read_denied(state, now := state.trusted_time())
    write_acl(state, state.paths.acl, now, denied)
    changes = state.store.number("acl_changes") or 0  # the file may have made it rise
    state.store.set_meta("acl_settings", settings)
    state.store.set_meta("acl_published", changes)
    state.store.set_meta(SEEN_ACL, file_mark(state.paths.acl))
    note_published(state, Place.ACL, changes)
    if denied.misled:
        raise denied.misled


def publish_device_files(state: State) -> list[Unpublished]:
    """Write the certificate, key and bundle of every device that has none, or other ones, in its folder."""
    return alone(state, "device files", state.paths.devices, partial(device_files.write_devices, state))


def publish_broker_files(state: State) -> list[Unpublished]:
    """Write the certificate and key of every broker that has none, or other ones, in its folder."""
    refused = alone(state, "broker files", state.paths.brokers, partial(device_files.write_brokers, state))
    return refused + alone(state, "broker files", state.paths.acl, partial(write_folder_certificates, state))


def keep_generation(state: State) -> list[Unpublished]:
    """Keep copies of the CRL and ACL that were published last; the oldest go."""
    if state.main:
        return []
    return alone(state, "generation", state.paths.generations, partial(_copy_generation, state))


def _copy_generation(state: State) -> None:
    # Else its ACL is still to come; and what is on a disk that is away is copied when that is back.
    is_whole = state.store.meta("acl_published") == state.store.meta("acl_changes")
    if is_whole and not is_away(state, Place.ACL) and not is_away(state, Place.CRL):
        generations.keep_generation(state.store, state.paths, state.config["generations_kept"])


def publish_replaced(state: State) -> list[Unpublished]:
    """Write what follows from a stolen CA key into its folder, once."""
    if not has_replaced_files_left(state.store):
        return []
    return alone(state, "replaced CA", state.paths.replaced, partial(replaced_files.write_replaced, state))


def settle_deliveries(state: State) -> list[Unpublished]:
    """Write the deliveries that were recorded, and clear away those that ended."""
    try:
        if not has_open_delivery(state.store) and not os.path.lexists(state.paths.outbox):
            return []
        return outbox.settle(state)
    except Exception as error:  # as in every other step
        return [Unpublished("deliveries", state.paths.outbox, as_told(error, state.paths.outbox))]


EVERYTHING: tuple[Step, ...] = (
    publish_crl,
    publish_ca,
    publish_acl,
    publish_device_files,
    publish_broker_files,
    publish_replaced,
    keep_generation,
    settle_deliveries,
)
