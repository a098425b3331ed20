"""Options of verbs that make a CA whose key lies in a token, and the passphrase for the day on which it is lost."""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.errors import KeyUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.cli.session import Session

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="URI", help="The CA's key lies in a token: 'pkcs11:token=..;object=..?module-path=..'"
    ),
]
GenerateOption = Annotated[
    bool, typer.Option("--generate", help="Make the keys in the token; without it they are there already.")
]
RecoveryFileOption = Annotated[
    str | None,
    typer.Option(
        "--recovery-passphrase-file", metavar="FILE", help="File whose first line opens the bundles of a lost token."
    ),
]
RecoveryKeyFileOption = Annotated[
    str | None,
    typer.Option("--generate-recovery-file", metavar="FILE", help="Make a random recovery passphrase file there."),
]
PrintRecoveryOption = Annotated[
    bool, typer.Option("--print-recovery-passphrase", help="Make a recovery passphrase, and show it this once.")
]


def parse_key(text: str | None, key_type: object, *, generate: bool) -> TokenUri | None:
    """Read ``--key``; ``None`` where the CA's key lies in a file.

    Raises:
        UsageError: it names no key in a token, or the other options do not go with it.
    """
    if text is None:
        if generate:
            raise UsageError("--generate is for a key in a token", hint="name it: --key 'pkcs11:...'")
        return None
    from iotonboard.ca.token_uri import parse_token_uri

    if key_type is not None and not generate:
        raise UsageError(
            "--key-type is for a key that is made", hint="add --generate, or leave --key-type out: the key is there"
        )
    return parse_token_uri(text)


@dataclass(frozen=True, slots=True)
class RecoveryWays:
    """How the recovery passphrase of a CA is found; one way at most was chosen. ``made``: the one to show."""

    session: Session
    file: str | None
    key_file: str | None
    shows: bool
    weak: bool
    made: list[str] = field(default_factory=list, repr=False)

    def check(self, *, is_wanted: bool) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: they do not.
        """
        ways = sum((self.file is not None, self.key_file is not None, self.shows))
        if ways > 1:
            raise UsageError("more than one way to the recovery passphrase", hint="choose one of them")
        if ways and not is_wanted:
            raise UsageError(
                "a recovery passphrase is for a CA whose key lies in a token", hint="name it: --key 'pkcs11:...'"
            )
        if self.file == "-" and self.session.passphrase_file == "-":
            raise UsageError("stdin cannot be both secrets", hint="put one of them into a file")

    def ask(self) -> Callable[[], Passphrase]:
        """What gives it, once it is needed."""
        return functools.cache(self._find)

    def _find(self) -> Passphrase:
        from iotonboard.ca.passphrase import check_strength, generate_key_file, parse_passphrase
        from iotonboard.ca.vault import spell

        if self.key_file is not None:
            return generate_key_file(self.key_file, os.urandom(32), is_resumed=os.path.exists(self.key_file))
        if self.shows:
            self.made.append(spell(os.urandom(16)))
            return parse_passphrase(self.made[0].encode("ascii"))
        if self.file is None and not sys.stdin.isatty():
            raise KeyUnavailableError(
                "the recovery passphrase of the new CA is needed and nobody is there to type it",
                hint="name its file with --recovery-passphrase-file, or make one with --generate-recovery-file FILE",
            )
        asked = replace(self.session, passphrase_file=self.file, share_file=None, environment={})
        passphrase = asked.read_passphrase("Recovery passphrase, for the day on which the token is lost", repeat=True)
        if not self.weak:
            check_strength(passphrase)
        return passphrase

    def values(self) -> dict[str, object]:
        """The passphrase that was made to be shown, for the result."""
        return {"recovery_passphrase": self.made[0]} if self.made else {}

    def tell(self) -> None:
        """Say where the recovery passphrase belongs."""
        if self.key_file is not None:
            self.session.message(f"next: {self.key_file!r} belongs into a safe, and not beside the token")
        else:
            self.session.message("next: the recovery passphrase belongs on paper into a safe, and not beside the token")
