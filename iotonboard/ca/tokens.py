"""CA keys in tokens: where they are is sealed by the key itself, and held against its file before a module is loaded.

Whoever changes the file names another module, whose code would run here and see the PIN.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iotonboard.ca.token_key import KeyFacts, TokenKey, make_token_key, open_token_key
from iotonboard.ca.token_uri import parse_token_uri
from iotonboard.errors import KeyUnavailableError, UsageError
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.succession import cas_in_force

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.ca_key import CaKey
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.model import KeyType
    from iotonboard.state.state import State
    from iotonboard.store.store import Store

_META = "token"
_RESTORE = "compare 'iotonboard audit show'; where the token or its module moved: iotonboard ca token 'pkcs11:...'"


def uri_of(content: bytes, name: str) -> TokenUri:
    """Read the file of a key in a token.

    Raises:
        KeyUnavailableError: somebody wrote something else into it.
    """
    try:
        return parse_token_uri(content.decode("ascii").strip())
    except (UnicodeDecodeError, UsageError) as error:
        said = error.message if isinstance(error, UsageError) else "it is no text"
        raise KeyUnavailableError(f"{name!r} cannot be read: {said}", hint=_RESTORE) from None


def open_key(state: State, name: str, content: bytes, pin: Passphrase | None) -> CaKey:
    """Open the key that a file names, once that is what the CA sealed.

    Raises:
        KeyUnavailableError: it is not, or the token does not open.
        TokenLostError: it went away.
    """
    uri = uri_of(content, name)
    told, _ = cas_in_force(state.store, [row.der for row in all_issuers(state.store)])
    rows = [row for row in current_issuers(state.store) if row.fingerprint in told or not told]
    if name not in {row.key_file for row in rows}:
        raise KeyUnavailableError(f"{name!r} is no key of a CA in force; nothing was tried", hint=_RESTORE)
    if sealed_uri(state.store, name) != str(uri):
        raise KeyUnavailableError(
            f"{name!r} names another token or module than the one that the CA sealed; nothing was loaded or tried",
            hint=_RESTORE,
        )
    return open_token_key(uri, pin)


def new_key(
    uri: TokenUri, pin: Passphrase | None, key_type: KeyType | None, note: Callable[[], object], *, may_exist: bool
) -> TokenKey:
    """The key of a new CA: made in the token where a type is given, else the one that is there.

    ``note`` is called once nothing stands in the way, before anything is made. ``may_exist``: an interrupted call may
    have made it already.

    Raises:
        ConflictError: there is a key of that name.
        KeyUnavailableError: the token does not open, or refuses.
    """
    if key_type is not None:
        return make_token_key(uri, pin, key_type, note, may_exist=may_exist)
    key = open_token_key(uri, pin)
    note()
    return key


# -- what is sealed ------------------------------------------------------------------------------------------------


def facts_of(key: TokenKey) -> dict[str, Any]:
    """What the trail tells of a key in a token."""
    facts = key.facts
    return {
        "uri": str(key.uri),
        "serial": facts.serial,
        "model": facts.model,
        "extractable": facts.is_extractable,
        "was_extractable": facts.was_extractable,
    }


def seal_place(store: Store, name: str, key: CaKey) -> dict[str, Any]:
    """Note, signed by the key, where it is, in the caller's transaction; nothing for a key in a file.

    Returns what the trail tells of it.
    """
    if not isinstance(key, TokenKey):
        return {}
    facts = facts_of(key)
    text = json.dumps(facts, sort_keys=True)
    store.set_meta(f"{_META} {name}", f"{text}\n{sign_statement(key.signer, _statement(text)).hex()}")
    return {"token": facts}


def _statement(text: str) -> bytes:
    return b"iotonboard token v1\n%s\n" % text.encode("ascii")


def sealed_facts(store: Store, name: str) -> dict[str, Any]:
    """What the CA sealed of the key in a file of that name; nothing where that does not hold."""
    said = store.meta(f"{_META} {name}")
    text, _, signature = said.partition("\n") if isinstance(said, str) else ("", "", "")
    certificate = next((row.der for row in all_issuers(store) if row.key_file == name), b"")
    try:
        is_whole = statement_holds(certificate, _statement(text), bytes.fromhex(signature))
        found = json.loads(text) if is_whole else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def sealed_uri(store: Store, name: str) -> str:
    """Where the CA sealed that the key is; empty where it did not."""
    return str(sealed_facts(store, name).get("uri", ""))


def facts_from(said: dict[str, Any]) -> KeyFacts:
    """The facts of a key as they were sealed."""
    return KeyFacts(
        str(said.get("serial", "")),
        str(said.get("model", "")),
        bool(said.get("extractable", True)),
        bool(said.get("was_extractable", True)),
    )
