"""Settings that a CA signed: what is signed, whether it holds, and how new values get there.

Sealed is a JSON object of all values that matter and are not default, with a number that rises, under a label of its
own, so that a signature over it passes for nothing else. Whoever can write on the disk can take the newest one away, or
put an older one back; the trail tells what was sealed last.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iotonboard.pki.verifying import statement_holds
from iotonboard.state.recorded_settings import canonical, record_change
from iotonboard.state.setting_table import SETTINGS
from iotonboard.store import settings as store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.settings import Seal

    # Signs a statement, and names the row of the CA that does.
    Sign = Callable[[bytes], tuple[int, bytes]]


def settings_statement(number: int, settings: str) -> bytes:
    """The octets that a CA signs for settings."""
    return b"iotonboard settings v1\n%d\n%s\n" % (number, settings.encode("utf-8"))


def holds(seal: Seal) -> bool:
    """Say whether a CA of the state signed these settings under this number."""
    return statement_holds(seal.certificate_der, settings_statement(seal.number, seal.settings), seal.signature)


def vouches(certificate_der: bytes, statement: bytes, signature: bytes) -> bool:
    """Say whether the holder of a CA's certificate (DER) signed a statement."""
    return statement_holds(certificate_der, statement, signature)


def needs_adoption(state: State) -> bool:
    """Say whether nothing was ever sealed, as in a state of an earlier version, and the file can be read."""
    return state.config.recorded.sealed is None and not state.config.file.problems


def seal_settings(state: State, values: Mapping[str, Any], now: datetime, sign: Sign) -> None:
    """Sign the values of all sealed settings, in the caller's transaction, and record what changed in the trail.

    ``values`` may lack what is default, and hold what is not sealed; such are noted, and so used when the file cannot
    be read.
    """
    standing = standing_values(state)
    for key in state.config.recorded.slipped_in:
        store_settings.forget(state.store, key)
    chosen = {key: value for key, value in values.items() if value != SETTINGS[key].default}
    sealed = canonical({key: value for key, value in chosen.items() if SETTINGS[key].is_sealed})
    number = next((seal.number for seal in store_settings.seals(state.store)), 0) + 1
    issuer, signature = sign(settings_statement(number, sealed))
    store_settings.add_seal(state.store, number, sealed, issuer, signature, now)
    for key, setting in SETTINGS.items():
        new = values.get(key, setting.default)
        if new != standing[key]:
            record_change(state, key, standing[key], new, now)
        if setting.is_sealed or key not in chosen or key == "database_url":  # that is noted by who moves it alone
            store_settings.forget(state.store, key)
        else:
            store_settings.note(state.store, key, canonical(chosen[key]))
    state.record(now, "settings", detail={"sealed": number, "values": json.loads(sealed)})


def standing_values(state: State) -> dict[str, Any]:
    """The values in force, without those of the environment."""
    return {key: one.value for key, one in state.config.standing.items()}


def adopt_settings(state: State, now: datetime, sign: Sign) -> None:
    """Seal what the file of an earlier version's state says, once, in the caller's transaction."""
    if needs_adoption(state) and next(store_settings.seals(state.store), None) is None:
        seal_settings(state, dict(state.config.file.values), now, sign)
