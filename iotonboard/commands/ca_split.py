"""``ca split``: the passphrase of the CA in shares for several people, of whom a few together open it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit, unlock
from iotonboard.ca.passphrase import SHARES_MADE, key_is_encrypted
from iotonboard.ca.rollover_status import name_of
from iotonboard.ca.shares import SET_OCTETS, check_numbers, join_shares, share_text, split_passphrase
from iotonboard.disk.files import create_exclusive, make_private_dir, refuse_existing, remove_file
from iotonboard.errors import ConflictError, IotOnboardError
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The shares that were written: how many, how many of them open the CA, the name of the set, and their files."""

    shares: int
    threshold: int
    made_of: str
    paths: tuple[str, ...]


def split(state: State, count: int, threshold: int, folder: str, ask: Callable[[], Passphrase]) -> Result:
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
    if not key_is_encrypted(state):
        raise ConflictError("the CA key has no passphrase", hint="give it one first: iotonboard ca passwd")
    passphrase = ask()
    made_of = os.urandom(SET_OCTETS)
    shares = split_passphrase(passphrase, threshold, count, made_of)
    opened = unlock(state, join_shares(shares[-threshold:]))
    make_private_dir(folder)
    with state.transaction() as now:
        refuse_changed(state, opened)
        state.store.set_meta(SHARES_MADE, made_of.hex())
        state.record(now, "ca", detail={"shares": count, "threshold": threshold, "set": made_of.hex()})
        seal_audit(state, opened)
    issuer = current_issuers(state.store)[0]
    written: list[str] = []
    try:
        for share, path in zip(shares, paths, strict=True):
            text = share_text(share, name_of(issuer), issuer.fingerprint, f"{now:%Y-%m-%d}")
            create_exclusive(path, text.encode("utf-8"))
            written.append(path)
    except IotOnboardError:
        for path in written:
            with contextlib.suppress(IotOnboardError):
                remove_file(path)
        raise
    return Result(count, threshold, made_of.hex(), paths)
