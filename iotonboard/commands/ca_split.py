"""``ca split``: the passphrase of the CA in shares for several people, of whom a few together open it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit, unlock
from iotonboard.ca.passphrase import SHARES_MADE, is_in_token, key_is_encrypted
from iotonboard.ca.recovery import open_secret
from iotonboard.ca.rollover_status import name_of
from iotonboard.ca.shares import SET_OCTETS, Sheet, check_numbers, join_shares, share_text, split_passphrase
from iotonboard.ca.vault import RECOVERY
from iotonboard.disk.files import create_exclusive, make_private_dir, refuse_existing, remove_file
from iotonboard.errors import ConflictError, IotOnboardError
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The shares that were written: how many, how many of them open the CA, the name of the set, and their files."""

    shares: int
    threshold: int
    made_of: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recovery passphrase is split, and not that of the key: what gives it, and what opens the CA for the trail."""

    ask: Callable[[], Passphrase]
    unlock: Unlock


def split(
    state: State,
    count: int,
    threshold: int,
    folder: str,
    ask: Callable[[], Passphrase],
    of_recovery: Recovery | None = None,
) -> Result:
    """Write ``count`` new files into ``folder``, each with a share for one person.

    The trail tells of the shares before there are any. They are put together again before the first is written, and
    what they give opens the CA. Shares that were made before stay good as long as the passphrase does.

    Raises:
        PolicyError: one share would open the CA, there are too many, or the passphrase is too long.
        ConflictError: the CA key has no passphrase, or a file is there already.
        KeyUnavailableError: the passphrase is wrong.
        BusyError: the disk refuses; no share is left.
    """
    check_numbers(threshold, count)
    paths = tuple(os.path.join(folder, f"share-{number}.txt") for number in range(1, count + 1))
    for path in paths:
        refuse_existing(path, hint="choose another folder; every set of shares has one of its own")
    is_recovery = of_recovery is not None
    _refuse_no_passphrase(state, is_recovery=is_recovery)
    passphrase = of_recovery.ask() if of_recovery else ask()
    made_of = os.urandom(SET_OCTETS)
    shares = split_passphrase(passphrase, threshold, count, made_of)
    if of_recovery:
        open_secret(state.store.meta(RECOVERY), join_shares(shares[-threshold:]))
        opened = of_recovery.unlock()
    else:
        opened = unlock(state, join_shares(shares[-threshold:]))
    make_private_dir(folder)
    now = _tell(state, opened, {"shares": count, "threshold": threshold, "set": made_of.hex()}, is_recovery=is_recovery)
    issuer = current_issuers(state.store)[0]
    sheet = Sheet(name_of(issuer), issuer.fingerprint, f"{now:%Y-%m-%d}", is_recovery=is_recovery)
    _write(zip(paths, (share_text(share, sheet) for share in shares), strict=True))
    return Result(count, threshold, made_of.hex(), paths)


def _tell(state: State, opened: Authority, detail: dict[str, object], *, is_recovery: bool) -> datetime:
    """Tell the trail of a set of shares; those of the passphrase are looked for when that changes."""
    with state.transaction() as now:
        refuse_changed(state, opened)
        if is_recovery:
            detail["of"] = "recovery passphrase"
        else:
            state.store.set_meta(SHARES_MADE, str(detail["set"]))
        state.record(now, "ca", detail=detail)
        seal_audit(state, opened)
    return now


def _write(sheets: Iterable[tuple[str, str]]) -> None:
    """Write each sheet into its file; none is left where one cannot be."""
    written: list[str] = []
    try:
        for path, text in sheets:
            create_exclusive(path, text.encode("utf-8"))
            written.append(path)
    except IotOnboardError:
        for path in written:
            with contextlib.suppress(IotOnboardError):
                remove_file(path)
        raise


def _refuse_no_passphrase(state: State, *, is_recovery: bool) -> None:
    if is_recovery:
        return
    if is_in_token(state):
        raise ConflictError(
            "the CA key lies in a token, and its PIN is too short to be split",
            hint="split the recovery passphrase: --recovery-passphrase-file FILE",
        )
    if not key_is_encrypted(state):
        raise ConflictError("the CA key has no passphrase", hint="give it one first: iotonboard ca passwd")
