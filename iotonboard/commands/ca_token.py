"""``ca token``: where the keys of the CAs are that lie in tokens, and how such a place is changed.

A key that moved, for its token has another module here or a twin took its place, is opened at its new place first: only
the CA's own key seals where it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca import token_session, tokens
from iotonboard.ca.authority import seal_audit, unlock
from iotonboard.ca.rollover_status import name_of
from iotonboard.ca.secrets_asked import asked_secrets, secret_of
from iotonboard.ca.token_key import open_token_key
from iotonboard.ca.token_uri import parse_token_uri
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.errors import ConflictError, KeyUnavailableError
from iotonboard.pki.issuer import load_issuer
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_key import KeyFacts
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.state.state import State
    from iotonboard.store.issuers import IssuerRow


@dataclass(frozen=True, slots=True)
class InToken:
    """A CA whose key lies in a token: where, what was sealed of it, and what is wrong now; empty where nothing is."""

    name: str
    fingerprint: str
    uri: str
    facts: KeyFacts
    problem: str


def show(state: State) -> list[InToken]:
    """The CAs in force whose keys lie in tokens, the one that issues first. No PIN is needed, and nothing is tried."""
    return [_shown(state, row) for row in _in_tokens(state)]


def _in_tokens(state: State) -> list[IssuerRow]:
    rows = current_issuers(state.store)
    return [row for row in rows if tokens.sealed_uri(state.store, row.key_file)]


def prompts(state: State, uri: TokenUri | None) -> list[str]:
    """What is asked for, in this order, to open the key at ``uri``, or at its place of now."""
    if len(current_issuers(state.store)) == 1:
        known = uri or parse_token_uri(_sealed(state))
        return [f"PIN of the token {known.where!r}"]
    return [one.prompt for one in asked_secrets(state)]


def _sealed(state: State) -> str:
    rows = _in_tokens(state)
    if not rows:
        raise ConflictError(
            "no CA of this state has its key in a token", hint="'iotonboard ca rollover begin --key URI' makes one"
        )
    return tokens.sealed_uri(state.store, rows[0].key_file)


def _shown(state: State, row: IssuerRow) -> InToken:
    said = tokens.sealed_facts(state.store, row.key_file)
    uri, problem = str(said.get("uri", "")), ""
    try:
        problem = token_session.pin_problems(token_session.connect(parse_token_uri(uri)))
    except KeyUnavailableError as error:
        problem = error.message
    return InToken(name_of(row), row.fingerprint, uri, tokens.facts_from(said), problem)


def move(state: State, uri: TokenUri, ask_pin: Callable[[], Passphrase], *, last_try: bool) -> InToken:
    """Open the key at ``uri``, and seal that it is there from now on.

    Raises:
        ConflictError: the CA's key lies in a file.
        KeyUnavailableError: the token does not open, or holds another key.
        BusyError: the state is locked or the disk refuses.
    """
    row = _row_of(state, uri)
    given = ask_pin()
    key = open_token_key(uri, secret_of(state, row.key_file, given), last_try=last_try)
    load_issuer(row.der, key.signer)  # which refuses another one
    with state.transaction() as now:
        write_atomic(os.path.join(state.paths.certs, row.key_file), key.dump(None), PRIVATE)
        place = tokens.seal_place(state.store, row.key_file, key)
        state.record(now, "ca", detail={"ca": row.fingerprint, **place})
        seal_audit(state, unlock(state, given))
    return _shown(state, row)


def _row_of(state: State, uri: TokenUri) -> IssuerRow:
    """The CA whose key is meant: in a rollover between two tokens the one whose key is called so."""
    _sealed(state)
    rows = _in_tokens(state)
    sealed = [(row, parse_token_uri(tokens.sealed_uri(state.store, row.key_file))) for row in rows]
    named = (row for row, one in sealed if (one.object, one.identifier) == (uri.object, uri.identifier))
    return next(named, rows[0])


def try_last(state: State, ask_pin: Callable[[], Passphrase]) -> InToken:
    """Log in although it is the last attempt: a right PIN gives the token all of its attempts back.

    Raises:
        ConflictError: no CA of the state has its key in a token.
        KeyUnavailableError: the token does not open, or holds another key.
    """
    return move(state, parse_token_uri(_sealed(state)), ask_pin, last_try=True)
