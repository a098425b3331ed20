"""Where the passphrase of a new CA key comes from, and the PIN of one in a token."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iotonboard.cli.passphrases import find_pins
from iotonboard.errors import KeyUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.cli.session import Session

_NAME_NEW = "name its file with --new-passphrase-file, or let one be made with --generate-key-file"


@dataclass(frozen=True, slots=True)
class FirstSecret:
    """How a CA that is made here gets its secret: a new random file, none, or what the session gives."""

    session: Session
    key_file: str | None
    is_none: bool
    weak: bool
    token: TokenUri | None

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: they do not.
        """
        if sum((self.is_none, self.key_file is not None, self.session.passphrase_file is not None)) > 1:
            raise UsageError(
                "more than one way to the passphrase",
                hint="choose one of them; IOTONBOARD_PASSPHRASE_FILE counts too: 'unset IOTONBOARD_PASSPHRASE_FILE'",
            )
        if self.token is not None and (self.is_none or self.key_file is not None):
            raise UsageError(
                "a key in a token has a PIN, and no passphrase",
                hint="the PIN is asked for, or read from --passphrase-file",
            )

    def find(self, whose: str, *, is_resumed: bool) -> Passphrase | None:
        """Find it; ``whose`` is said where it is asked for. Raises as ``Session.new_passphrase``."""
        if self.token is not None:
            return find_pins(self.session, [f"PIN of the token {self.token.where!r}"])
        if self.is_none:
            return None
        if self.key_file is not None:
            from iotonboard.ca.passphrase import generate_key_file

            return generate_key_file(self.key_file, os.urandom(32), is_resumed=is_resumed)
        return self.session.new_passphrase(weak=self.weak, whose=whose)


def changed_passphrase(
    session: Session, new_passphrase_file: str | None, generate_key_file: str | None, *, weak: bool
) -> Callable[[], Passphrase]:
    """What gives the new passphrase once it is needed: from one of the options, or a terminal.

    A file that is named is read at once, and a place for a new one looked at, before the old passphrase is asked for.

    Raises:
        UsageError: both options are there, or both passphrases would come from stdin.
        KeyUnavailableError: the file that is named holds none.
    """
    from iotonboard.ca.passphrase import check_key_file
    from iotonboard.ca.passphrase import generate_key_file as make_key_file

    if new_passphrase_file and generate_key_file:
        raise UsageError("more than one way to the new passphrase", hint="choose one of them")
    if new_passphrase_file == "-" and session.passphrase_file == "-":
        raise UsageError("stdin cannot be both passphrases", hint="put one of them into a file")

    @functools.cache
    def new() -> Passphrase:
        if generate_key_file is not None:
            # A change that was interrupted left the file: the same command again finishes it.
            return make_key_file(generate_key_file, os.urandom(32), is_resumed=os.path.exists(generate_key_file))
        asked = replace(session, passphrase_file=new_passphrase_file, share_file=None, environment={})
        try:
            return asked.new_passphrase(weak=weak)
        except KeyUnavailableError as error:
            raise KeyUnavailableError(f"the new one: {error.message}", hint=_NAME_NEW) from None

    if generate_key_file is not None:
        check_key_file(generate_key_file)
    elif new_passphrase_file not in (None, "-"):
        new()
    return new
