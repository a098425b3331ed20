"""The check of a CA key that lies in a token: what can be seen of it without its PIN, and what was sealed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.ca import token_session, tokens
from iotonboard.errors import KeyUnavailableError
from iotonboard.health.finding import Outcome, failed, ok, warning

if TYPE_CHECKING:
    from iotonboard.ca.token_key import KeyFacts
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.state.state import State


def token(state: State, name: str, content: bytes) -> Outcome:
    """The token is there and not blocked, its module is nobody else's to write, and the key never leaves it."""
    try:
        uri = tokens.uri_of(content, name)
        said = tokens.sealed_facts(state.store, name)
        if said.get("uri") != str(uri):
            return failed(
                f"{name!r} names another token or module than the one that the CA sealed",
                "compare 'iotonboard audit show'; where it moved, type: iotonboard ca token 'pkcs11:...'",
            )
        token_session.check_module(uri.module_path)
    except KeyUnavailableError as error:
        return failed(error.message, error.hint)
    facts = tokens.facts_from(said)
    named = f"in the token {uri.where!r}, serial {facts.serial}"
    return _there(uri, facts, named) or _copied(facts, named)


def _there(uri: TokenUri, facts: KeyFacts, named: str) -> Outcome | None:
    try:
        there = token_session.connect(uri)
    except KeyUnavailableError as error:
        return warning(f"{named}: {error.message}", error.hint)
    if token_session.is_blocked(there):
        return failed(f"{named}: its PIN is blocked", token_session.UNBLOCK)
    if problem := token_session.pin_problems(there):
        return warning(f"{named}: {problem}", f"when the PIN is certain, type: {token_session.LAST_TRY}")
    serial = token_session.serial_of(there)
    if serial != facts.serial:
        return warning(f"{named}: another one is plugged in, serial {serial}", f"type: iotonboard ca token '{uri}'")
    return None


def _copied(facts: KeyFacts, named: str) -> Outcome:
    new = "a new one: iotonboard ca rollover begin --generate --key 'pkcs11:...'"
    if facts.is_extractable:
        return warning(f"{named}: the key can be copied out of it", f"make {new}")
    if facts.was_extractable:
        return warning(f"{named}: the key could be copied out of it once", f"somebody may have a copy; {new}")
    return ok(f"{named}; the key cannot be copied out, and never could")
