"""What opens a backup of a state whose CA key lies in a token: a PIN is far too short to keep a file that is carried.

The archive's passphrase is derived from the vault key then. That stands at the archive's end twice, wrapped for the
token's second key and under the recovery passphrase, so that either opens it. Where the token is and which module is
loaded, nothing of the file decides: whoever restores says so.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from iotonboard.ca import recovery, token_key, tokens
from iotonboard.ca.backup_seal import SEALED, read_tail
from iotonboard.ca.passphrase import Passphrase, is_in_token
from iotonboard.ca.vault import Vault
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import open_file
from iotonboard.errors import PolicyError, UsageError
from iotonboard.pki.issuer import load_issuer
from iotonboard.store.issuers import current_issuers

if TYPE_CHECKING:
    from iotonboard.ca.authority import Authority
    from iotonboard.ca.token_key import TokenKey
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.state.state import State

_LABEL: Final = b"iotonboard backup of a state with a token v1"


@dataclass(frozen=True, slots=True)
class Secret:
    """What opens an archive, what opens the CAs in it, and the CA's key where a token was named."""

    archive: Passphrase = field(repr=False)
    state: Passphrase = field(repr=False)
    key: TokenKey | None = None

    def settle(self, state: State) -> None:
        """Seal that the key is where it was found, in a state that came out of a backup.

        Raises:
            KeyUnavailableError: it is the key of another CA.
            BusyError: the disk refuses.
        """
        if self.key is None:
            return
        row = current_issuers(state.store)[0]
        load_issuer(row.der, self.key.signer)
        path = os.path.join(state.paths.certs, row.key_file)
        with state.store.transaction():
            tokens.seal_place(state.store, row.key_file, self.key)
        write_atomic(path, self.key.dump(None), PRIVATE)


def secret_for(state: State, opened: Authority, given: Passphrase) -> tuple[Passphrase, bytes]:
    """The passphrase of a new backup, and what is written at its end to find it again; nothing where that is given."""
    key = opened.active.key
    if not is_in_token(state) or not isinstance(key, token_key.TokenKey):
        return given, b""
    vault, under_passphrase, wrapped = opened.vault, *recovery.kept_for_backup(state.store)
    said = {
        "uri": str(key.uri),
        "vault": key.wrap(vault.key).hex(),
        "recovery": under_passphrase.hex(),
        "recovery_vault": wrapped.hex(),
    }
    return _derived(vault), base64.b64encode(json.dumps(said).encode("ascii"))


def _derived(vault: Vault) -> Passphrase:
    octets = hmac.digest(vault.key, _LABEL, "sha256").hex().encode("ascii")
    return Passphrase(octets, is_random_key=True)


def find_secret(path: str, token: TokenUri | None, given: Passphrase) -> Secret:
    """What opens a backup: ``given``, or what the token that is named unwraps, whose PIN that is.

    Raises:
        UsageError: a token is named and the backup asks for none, or the other way round.
        KeyUnavailableError: the token does not open, or is another one.
        PolicyError: it is no backup.
    """
    said = _said(path)
    if not said:
        if token is not None:
            raise UsageError("the CA key of this backup lies in a file", hint="leave --key out")
        return Secret(given, given)
    if token is None:
        raise UsageError(
            f"the CA key of this backup lies in a token; the backup says of itself: {said.get('uri')}",
            hint="where that is the token that you plugged in, and the module of this machine, name it with --key",
        )
    key = token_key.open_token_key(token, replace(given, further=()))
    try:
        vault = Vault(key.unwrap(bytes.fromhex(said["vault"])))
    except (KeyError, TypeError, ValueError):
        raise _damaged(path) from None
    return Secret(_derived(vault), given, key)


def find_recovered(path: str, passphrase: Passphrase) -> Passphrase:
    """What opens a backup, found with the recovery passphrase.

    Raises:
        UsageError: the backup asks for no such passphrase.
        KeyUnavailableError: it is another one.
        PolicyError: it is no backup.
    """
    said = _said(path)
    if not said:
        raise UsageError("the CA key of this backup lies in a file", hint="its passphrase opens it")
    try:
        kept, wrapped = bytes.fromhex(said["recovery"]), bytes.fromhex(said["recovery_vault"])
    except (KeyError, TypeError, ValueError):
        raise _damaged(path) from None
    return _derived(recovery.vault_for_backup(kept, wrapped, passphrase))


def _said(path: str) -> dict[str, Any]:
    with open_file(path) as file:
        opener = read_tail(file, path, SEALED).opener
    try:
        found = json.loads(base64.b64decode(opener, validate=True)) if opener else {}
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    return found if isinstance(found, dict) else {}


def _damaged(path: str) -> PolicyError:
    return PolicyError(f"{path!r} is damaged at its end", hint="use another copy of the backup")
