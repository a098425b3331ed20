"""Where a passphrase comes from."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.cli.person import ask_secret
from iotonboard.cli.process import keep_secrets
from iotonboard.disk.owner import as_caller
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.cli.session import Session
    from iotonboard.state.state import State

_MAX_FILE = 1 << 16
_HINT = "name its file with --passphrase-file or IOTONBOARD_PASSPHRASE_FILE"


def passphrase_of(session: Session, state: State) -> Passphrase | None:
    """Find what opens a state's CA key, as ``Session.passphrase_of`` says."""
    from iotonboard.ca.passphrase import is_in_token, key_is_encrypted

    if is_in_token(state):
        from iotonboard.ca.secrets_asked import asked_secrets

        return find_pins(session, [one.prompt for one in asked_secrets(state)])
    if key_is_encrypted(state):
        if not session.asked:  # one passphrase opens the CAs that were added too
            session.asked.append(session.ask_passphrase())
        return session.asked[0]
    if session.passphrase_file is not None or "IOTONBOARD_PASSPHRASE" in session.environment:
        session.message(
            f"warning: a passphrase is named, and the CA key in {session.root!r} has none: is this the state that you"
            " mean? compare 'iotonboard ca status' with what was written down; 'iotonboard ca passwd' encrypts it"
        )
    return None


def backup_secret(session: Session, state: State) -> Passphrase:
    """Find what opens a state, for its backup: a passphrase also where no key asks for one."""
    from iotonboard.ca.passphrase import is_in_token

    found = passphrase_of(session, state) if is_in_token(state) else None
    return session.ask_passphrase() if found is None else found


def find_pins(session: Session, prompts: Sequence[str]) -> Passphrase:
    """Find the PIN of a token, and what else opens the state, in the order of ``prompts``: in a file, or typed.

    Raises:
        KeyUnavailableError: none was given and nobody is there to ask, or it stands in the environment.
    """
    from iotonboard.ca.passphrase import parse_passphrase

    if session.passphrase_file is not None or session.share_file:
        return session.ask_passphrase()
    if "IOTONBOARD_PASSPHRASE" in session.environment:
        raise KeyUnavailableError(
            "the PIN of a token is not taken from IOTONBOARD_PASSPHRASE; nothing was tried",
            hint="put it on the first line of a file that only you can read, and name that with --passphrase-file",
        )
    keep_secrets()
    if not sys.stdin.isatty():
        raise KeyUnavailableError(f"the {prompts[0]} is needed and nobody is there to type it", hint=_HINT)
    first, *others = (parse_passphrase(ask_secret(prompt).encode("utf-8")) for prompt in prompts)
    return replace(first, further=tuple(others))


def read_recovery(session: Session, file: str | None) -> Passphrase:
    """Find the recovery passphrase that was set: in a file, in shares, or typed."""
    shares = session.share_file if file is None else None
    asked = replace(session, passphrase_file=file, share_file=shares, environment={})
    try:
        return asked.read_passphrase("Recovery passphrase")
    except KeyUnavailableError as error:
        hint = "name its file with --recovery-passphrase-file"
        raise KeyUnavailableError(f"the recovery passphrase: {error.message}", hint=hint) from None


def find_passphrase(
    file: str | Sequence[str] | None,
    environment: Mapping[str, str],
    prompt: str,
    *,
    repeat: bool,
    tell_if_open: Callable[[str], object],
    check: Callable[[Passphrase], object] = bool,
) -> Passphrase:
    """Find a passphrase: in a file (``-`` is stdin), in the environment, else on a terminal, where ``prompt`` asks.

    Several files are shares of it. ``repeat`` asks twice, unless ``check`` refuses what was typed first.
    ``tell_if_open`` is called with the path of a file that was read.

    Raises:
        KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
    """
    from iotonboard.ca.passphrase import parse_passphrase, parse_passphrase_file

    keep_secrets()
    if file is not None and not isinstance(file, str):
        return _from_shares(file, tell_if_open)
    if file == "-":
        return parse_passphrase_file(sys.stdin.buffer.readline(_MAX_FILE))
    if file is not None:
        return parse_passphrase_file(_content(file, tell_if_open, _HINT))
    if "IOTONBOARD_PASSPHRASE" in environment:
        said = environment["IOTONBOARD_PASSPHRASE"]
        if not said:
            raise KeyUnavailableError(
                "IOTONBOARD_PASSPHRASE is empty", hint="set it, or type: unset IOTONBOARD_PASSPHRASE"
            )
        return parse_passphrase(said.encode("utf-8", "surrogateescape"))
    if not sys.stdin.isatty():
        raise KeyUnavailableError(
            "the CA passphrase is needed and nobody is there to type it",
            hint=_HINT,
        )
    typed = ask_secret(prompt, repeat=repeat, check=lambda text: check(parse_passphrase(text.encode("utf-8"))))
    return parse_passphrase(typed.encode("utf-8"))


def _content(file: str, tell_if_open: Callable[[str], object], hint: str) -> bytes:
    try:
        with as_caller():  # it is root's, where root works as the state's owner
            content = read_file(file, limit=_MAX_FILE)
    except (NotFoundError, ConflictError) as error:  # not the exit code of a device that is not there
        raise KeyUnavailableError(f"no passphrase: {error.message}", hint=hint) from None
    tell_if_open(file)
    return content


def _from_shares(files: Sequence[str], tell_if_open: Callable[[str], object]) -> Passphrase:
    try:
        from iotonboard.ca.shares import join_shares, parse_share
    except ImportError:
        raise KeyUnavailableError(
            "shares need PyCryptodome, which is not installed", hint="type: pip install 'iotonboard[split]'"
        ) from None

    shares = []
    for file in files:
        text = _content(file, tell_if_open, "name the file of a share").decode("utf-8", "replace")
        try:
            shares.append(parse_share(text))
        except KeyUnavailableError as error:
            raise KeyUnavailableError(f"{file!r}: {error.message}", hint=error.hint) from None
    return join_shares(shares)


def find_passphrase_of(path: str, file: str | None, *, tell_if_open: Callable[[str], object]) -> Passphrase:
    """Find the passphrase of somebody else's key at ``path``: in a file, else on a terminal.

    Raises:
        KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
    """
    if file is None and not sys.stdin.isatty():
        raise KeyUnavailableError(
            "it is encrypted and nobody is there to type its passphrase",
            hint="name the file of that passphrase with --import-passphrase-file",
        )
    return find_passphrase(file, {}, f"Passphrase of {path!r}", repeat=False, tell_if_open=tell_if_open)
