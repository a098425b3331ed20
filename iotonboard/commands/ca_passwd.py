"""``ca passwd``: give the CA key another passphrase. The key itself, and all that it signed, stay as they are."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from iotonboard.ca.authority import refuse_changed, seal_audit, unlock
from iotonboard.ca.passphrase import SHARES_MADE, is_in_token, key_is_encrypted
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.permissions import Placement, placement_like
from iotonboard.errors import ConflictError, IotOnboardError, KeyUnavailableError
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


def change_all(cas: Opened, ask_old: Callable[[], Passphrase], ask_new: Callable[[], Passphrase]) -> list[str]:
    """``change_passphrase`` of a state and of the CAs that were added to it, which it opens too.

    What is wrong with one of these is raised behind the others; the same call again finishes it.
    """
    old, new = functools.cache(ask_old), functools.cache(ask_new)
    paths, problems = change_passphrase(cas.around, old, new), list[IotOnboardError]()
    for name in cas.names:
        try:
            paths += change_passphrase(cas.state(name), old, new)
        except IotOnboardError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return paths


def change_passphrase(state: State, ask_old: Callable[[], Passphrase], ask_new: Callable[[], Passphrase]) -> list[str]:
    """Encrypt every CA key of the state anew and return the files' paths.

    The new passphrase is asked for once the old one was seen to be right. The old file stays until the new one is
    whole and durable. An interrupted change leaves keys of which each opens with the old or with the new
    passphrase; the same call again finishes it, because either is accepted. Shares of the old one open nothing then.

    Raises:
        ConflictError: the new passphrase is the old one, or a key lies in a token.
        KeyUnavailableError: a key is missing, does not match its certificate, or opens with neither passphrase.
        BusyError: the state is locked, a CA was added or retired meanwhile, or the disk refuses.
    """
    if is_in_token(state):
        raise ConflictError(
            "the CA key lies in a token, whose PIN this program does not change",
            hint="use the token's own tool, such as 'pkcs11-tool --login --change-pin'; the recovery passphrase is"
            " that of 'iotonboard ca recovery-passphrase'",
        )
    paths = [os.path.join(state.paths.certs, row.key_file) for row in current_issuers(state.store)]
    old = ask_old() if key_is_encrypted(state) else None
    try:
        opened = unlock(state, old)
        fresh = ask_new()
    except KeyUnavailableError:
        fresh = ask_new()
        opened = unlock(state, old, fresh)
    if old is not None and fresh.octets == old.octets:
        raise ConflictError("the new passphrase is the old one", hint="name another file, or type another one")
    with state.transaction() as now:
        refuse_changed(state, opened)
        placed = [placement_like(path, PRIVATE) for path in paths]
        for path, ca, place in zip(paths, opened.signing, placed, strict=True):
            write_atomic(path, ca.key.dump(fresh), Placement(0o600, place.uid, place.gid))
        state.record(now, "ca", detail={"passphrase": "key file" if fresh.is_random_key else "typed"})
        state.store.forget_meta(SHARES_MADE)
        seal_audit(state, opened)
    return paths
