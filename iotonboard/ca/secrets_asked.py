"""Which secrets open the CAs of a state: one passphrase for all keys in files, one PIN for each token.

Most states have one. A rollover between a file and a token, or between two tokens, has two: they are asked for, or
stand on the lines of the passphrase file, in the order of the CAs, the one that issues first. No secret is ever tried
where another one belongs: a wrong PIN costs one of a few attempts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.ca import tokens
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS
from iotonboard.ca.passphrase import TOKEN_SCHEME
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError, NotFoundError
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Asked:
    """One secret: what it is called where it is asked for, and the names of the key files that it opens."""

    prompt: str
    files: tuple[str, ...]
    is_pin: bool


def asked_secrets(state: State) -> list[Asked]:
    """The secrets of a state, that of the CA that issues first; a key that is not encrypted asks for none."""
    found: dict[object, Asked] = {}
    for row in current_issuers(state.store):
        content = key_content(state, row.key_file)
        holder, prompt = None, "CA passphrase"
        if is_pin := content.startswith(TOKEN_SCHEME):
            uri = tokens.uri_of(content, row.key_file)
            holder, prompt = uri.holder, f"PIN of the token {uri.where!r}"
        elif content and b"ENCRYPTED" not in content:
            continue
        before = found[holder].files if holder in found else ()
        found[holder] = Asked(prompt, (*before, row.key_file), is_pin)
    return list(found.values())


def key_content(state: State, name: str) -> bytes:
    """What a CA's key file holds; nothing where it is missing."""
    try:
        return read_file(os.path.join(state.paths.certs, name), limit=MAX_KEY_FILE_OCTETS)
    except (NotFoundError, ConflictError):
        return b""


def secret_of(state: State, name: str, given: Passphrase | None) -> Passphrase | None:
    """The secret that belongs to a key file, of what was given.

    Raises:
        KeyUnavailableError: fewer were given than the state has; or more, and one would be tried as a PIN. None is.
    """
    asked = asked_secrets(state)
    place = next((number for number, one in enumerate(asked) if name in one.files), None)
    if given is None or place is None:
        return given
    lines = (given, *given.further)
    if len(lines) < len(asked) or (len(lines) > len(asked) and any(one.is_pin for one in asked)):
        wanted = ", ".join(one.prompt for one in asked)
        raise KeyUnavailableError(
            f"{counted(len(asked), 'secret')} would open this state, and {len(lines)} given; nothing was tried",
            hint=f"one line each in the passphrase file, in this order: {wanted}",
        )
    return replace(lines[place], further=())


def counted(number: int, what: str) -> str:
    """``1 secret``, ``2 secrets``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def needs_new_secret(state: State, token: TokenUri | None) -> bool:
    """Say whether a new CA's key, in a token or (``None``) a file, needs another secret than the CA that issues."""
    content = key_content(state, current_issuers(state.store)[0].key_file)
    if not content.startswith(TOKEN_SCHEME):
        return token is not None
    return token is None or tokens.uri_of(content, "ca.key").holder != token.holder
