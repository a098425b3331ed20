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

    def tell(self) -> None:
        """Say how the next commands come to it."""
        session = self.session
        session.tell_key_file(self.key_file)
        is_given = session.passphrase_file or session.share_file or "IOTONBOARD_PASSPHRASE" in session.environment
        if not (self.token or self.is_none or self.key_file or is_given):
            session.message(
                "every command that signs asks for the passphrase; a key file spares you that, and is to be kept like"
                " it: iotonboard ca passwd --generate-key-file ./ca.pass"
            )


@dataclass(frozen=True, slots=True)
class NextSecret:
    """How the CA after another one gets its secret, where a token is left or entered."""

    session: Session
    file: str | None
    key_file: str | None
    weak: bool
    token: TokenUri | None

    def __post_init__(self) -> None:
        """Refuse a secret of its own for a CA that was added to a state.

        Raises:
            UsageError: that of the state opens it.
        """
        if self.session.added_ca and (self.token or self.file or self.key_file):
            raise UsageError(
                "the passphrase of the state opens the CAs that were added to it",
                hint="leave --key, --new-passphrase-file and --generate-key-file out; see: iotonboard ca passwd",
            )

    def ways(self, is_wanted: bool | None) -> Callable[[], Passphrase] | None:
        """What gives it, once it is needed; ``None`` where the one in force opens the new key too.

        ``is_wanted``: ``None`` where no new key will be made.

        Raises:
            UsageError: it is needed and nobody said that the new key shall lie in a file; or is not needed.
        """
        if not is_wanted:
            if is_wanted is False and (self.file or self.key_file):
                raise UsageError(
                    "the new key has the secret of the one before", hint="'iotonboard ca passwd' changes a passphrase"
                )
            return None
        return self.beside(is_wanted=True)

    def in_file(self) -> Callable[[], Passphrase]:
        """What gives the passphrase of a key in a file. Raises as ``changed_passphrase``."""
        return changed_passphrase(self.session, self.file, self.key_file, weak=self.weak)

    def beside(self, *, is_wanted: bool) -> Callable[[], Passphrase] | None:
        """What gives it, where it is needed or was named; ``None`` where the one in force opens the new key too.

        Raises:
            UsageError: as ``ways``.
        """
        if not is_wanted and not (self.file or self.key_file):
            return None
        if self.token is None:
            if not (self.file or self.key_file):
                raise UsageError(
                    "the CA key lies in a token, and the new one would lie in a file",
                    hint="name its place in a token with --key, or its passphrase with --generate-key-file FILE or"
                    " --new-passphrase-file FILE",
                )
            return self.in_file()
        if self.key_file:
            raise UsageError("a key in a token has a PIN, and no passphrase", hint="leave --generate-key-file out")
        asked = replace(self.session, passphrase_file=self.file, share_file=None, environment={})
        return functools.cache(functools.partial(_pin, asked, self.token.where))


def _pin(asked: Session, where: str) -> Passphrase:
    try:
        return find_pins(asked, [f"PIN of the token {where!r}"])
    except KeyUnavailableError as error:
        raise KeyUnavailableError(error.message, hint="put it into a file: --new-passphrase-file FILE") from None


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
