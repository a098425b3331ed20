"""A token that somebody logged in to: the module is looked at before it is loaded, and a PIN is tried once.

A wrong PIN costs one of a few attempts, and the last one blocks the token. So nothing here tries a second time, and
nothing takes the last attempt unless that is asked for by name.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

from iotonboard.disk.owner import is_working_as_owner
from iotonboard.disk.permissions import mount_decides
from iotonboard.errors import KeyUnavailableError, NotPrivateWarning, TokenLostError

try:
    import pkcs11
    from pkcs11.exceptions import PKCS11Error
except ImportError:  # an extra: most CAs have their key in a file
    HAS_LIBRARY = False
else:
    HAS_LIBRARY = True

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri

LAST_TRY: Final = "iotonboard ca token --last-try"
UNBLOCK: Final = "unblock it with the token's own tool and its SO PIN, such as 'pkcs11-tool --login-type so --init-pin'"
_AGAIN: Final = (
    "plug it in and run the same command again, a batch with --if-exists skip: what was answered is recorded"
)
_LONGEST_PIN: Final = 255
_PAUSES_S: Final = (0, 0.02, 0.05, 0.1, 0.2)
# Process that initialised a module, by its path: a child after a fork has to do it again (PKCS #11 3.0, 5.4).
_initialised: dict[str, int] = {}
# By process and token: a process logs in to a token once, for all keys in it, and as long as one of these is open.
_logged_in: dict[tuple[int, object], Any] = {}


def check_module(path: str) -> None:
    """Refuse a module that somebody else could have put there: its code runs in this process, and sees the PIN.

    Raises:
        KeyUnavailableError: it is not there, or others than its owner, who is root or the caller, may write it.
    """
    if mount_decides(path):
        raise KeyUnavailableError(
            f"the module {path!r} lies on a disk that keeps no owners: anybody could put another one there",
            hint="install the module as a package of the system",
        )
    trusted = {0} if os.name != "posix" or is_working_as_owner() else {0, os.geteuid()}
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
    except OSError:
        raise KeyUnavailableError(
            f"the module {path!r} is not there",
            hint="install it; where it moved, tell a state so: iotonboard ca token 'pkcs11:...?module-path=...'",
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise KeyUnavailableError(f"the module {path!r} is no file", hint="name the library itself")
    if os.name != "posix":
        return
    for place in _with_folders(real):
        found = os.stat(place)
        is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_uid not in trusted or (found.st_mode & 0o022 and not is_sticky):
            raise KeyUnavailableError(
                f"others may put something else in the place of the module {path!r}: {place!r} is not root's or"
                " yours alone to write",
                hint=f"type: chmod go-w {place}, or use the module of a package of the system",
            )


def _with_folders(path: str) -> Iterator[str]:
    yield path
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def connect(uri: TokenUri) -> Any:
    """Load the module and find the token; nothing is tried.

    Raises:
        KeyUnavailableError: the library or the module is missing, or there is no such token, or more than one.
    """
    if not HAS_LIBRARY:
        raise KeyUnavailableError(
            "the CA key lies in a token, and what speaks with tokens is not installed",
            hint="pip install 'iotonboard[pkcs11]'",
        )
    check_module(uri.module_path)
    with _told(uri):
        found = _look(os.path.realpath(uri.module_path), uri)
    if not found:
        raise KeyUnavailableError(
            f"the token {uri.where!r} is not there", hint="plug it in, and run the same command again"
        )
    if len(found) > 1:
        raise KeyUnavailableError(
            f"there is more than one token {uri.where!r}", hint="add its serial to the URI: serial=..."
        )
    return found[0]


def _look(path: str, uri: TokenUri) -> list[Any]:
    """The tokens that are meant. Where there is none, look a few times more: tries nothing, and harms no token.

    SoftHSM does not see a token at the moment in which another process logs in to it, and notes so in its file.
    """
    found: list[Any] = []
    for pause in _PAUSES_S:
        time.sleep(pause)
        module = _load(path, again=pause > 0)
        found = [token for token in _tokens(module) if _is_meant(token, uri)]
        if found or any(process == os.getpid() for process, _ in _logged_in):
            break
    return found


def _load(path: str, *, again: bool) -> Any:
    """The module, initialised by this process; ``again``: although it is, so that it sees what came since."""
    try:
        module = pkcs11.lib(path)
    except PKCS11Error:  # the loader refuses it, or it has no C_GetFunctionList
        raise KeyUnavailableError(
            f"{path!r} is no module for PKCS #11", hint="name the library of the token's maker, one for this machine"
        ) from None
    if _initialised.setdefault(path, os.getpid()) != os.getpid() or again:
        with contextlib.suppress(PKCS11Error):  # a module that noticed the fork says that it is not initialised
            module.finalize()
        module.initialize()
        _initialised[path] = os.getpid()
    return module


def _tokens(module: Any) -> Iterator[Any]:
    for slot in module.get_slots(token_present=True):
        with contextlib.suppress(PKCS11Error):  # what cannot be asked for its name is not the one that is meant
            token = slot.get_token()
            if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                yield token


def _is_meant(token: Any, uri: TokenUri) -> bool:
    said = {
        uri.token: token.label,
        uri.serial: serial_of(token),
        uri.manufacturer: token.manufacturer_id,
        uri.model: token.model,
    }
    return all(wanted is None or wanted.strip() == found.strip() for wanted, found in said.items())


def serial_of(token: Any) -> str:
    """A token's serial number as text."""
    return bytes(token.serial).rstrip(b"\0 ").decode("utf-8", "replace")


@contextlib.contextmanager
def _told(uri: TokenUri) -> Iterator[None]:
    """Turn what the library raises into the program's own error: the token went away, or does not do what it should."""
    try:
        yield
    except PKCS11Error as error:
        raise TokenLostError(
            f"the token {uri.where!r} does not answer ({type(error).__name__})",
            hint=_AGAIN,
        ) from None


def is_blocked(token: Any) -> bool:
    """Say whether a token takes no PIN any more."""
    return bool(token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED)


def pin_problems(token: Any) -> str:
    """What a token tells of wrong PINs since the last right one; empty where it tells of none."""
    flags = token.flags
    if is_blocked(token):
        return "its PIN is blocked"
    if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
        return "one attempt is left: a wrong PIN blocks it"
    if flags & pkcs11.TokenFlag.USER_PIN_COUNT_LOW:
        return "a wrong PIN was given since the last right one, and the token does not tell how many attempts are left"
    return ""


class TokenSession:
    """A token, logged in to by this process; one that was forked of it logs in again as soon as it uses it.

    Raises, when it is made:
        KeyUnavailableError: as ``connect``; the PIN is wrong or blocked, or it is the last attempt and ``last_try``
            does not ask for it.
    """

    def __init__(self, uri: TokenUri, pin: Passphrase | None, *, last_try: bool = False, writes: bool = False) -> None:
        self.uri, self._pin, self._writes = uri, pin, writes
        self._process, self._session = os.getpid(), self._log_in(last_try=last_try)

    def __repr__(self) -> str:
        return f"TokenSession({self.uri.where!r})"

    def __reduce__(self) -> tuple[type[TokenSession], tuple[TokenUri, Passphrase | None]]:
        """For a worker process that is not forked: through a pipe, never a file."""
        return TokenSession, (self.uri, self._pin)

    @contextlib.contextmanager
    def used(self) -> Iterator[Any]:
        """The library's session, for one operation.

        Raises:
            TokenLostError: the token went away meanwhile, or does not open for a process that was forked.
        """
        if self._process != os.getpid():
            try:
                self._session = self._log_in(last_try=False)
            except KeyUnavailableError as error:
                raise TokenLostError(error.message, hint=error.hint) from None
            self._process = os.getpid()
        with _told(self.uri):
            yield self._session

    def _log_in(self, *, last_try: bool) -> Any:
        token = connect(self.uri)
        if (os.getpid(), self.uri.holder) in _logged_in:
            with _told(self.uri):
                return token.open(rw=self._writes)
        session = _logged_in[os.getpid(), self.uri.holder] = self._try_pin(token, last_try=last_try)
        return session

    def _try_pin(self, token: Any, *, last_try: bool) -> Any:
        where = self.uri.where
        if is_blocked(token):
            raise KeyUnavailableError(f"the PIN of the token {where!r} is blocked; nothing was tried", hint=UNBLOCK)
        if token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY and not last_try:
            raise KeyUnavailableError(
                f"the token {where!r} has one attempt left, and a wrong PIN blocks it; nothing was tried",
                hint=f"when the PIN is certain, type: {LAST_TRY}",
            )
        if problem := pin_problems(token):
            warnings.warn(f"the token {where!r}: {problem}", NotPrivateWarning, stacklevel=2)
        pin = _text_of(self._pin, where) if token.flags & pkcs11.TokenFlag.LOGIN_REQUIRED else None
        open_it: Callable[..., Any] = token.open
        try:
            return open_it(user_pin=pin, rw=self._writes)
        except pkcs11.UserAlreadyLoggedIn:  # by this process, for another key in it
            with _told(self.uri):
                return open_it(rw=self._writes)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            raise self._wrong_pin() from None
        except pkcs11.PinLocked:
            raise KeyUnavailableError(f"the PIN of the token {where!r} is blocked", hint=UNBLOCK) from None
        except (pkcs11.PinExpired, pkcs11.UserPinNotInitialized) as error:
            raise KeyUnavailableError(
                f"the token {where!r} takes no PIN yet ({type(error).__name__})",
                hint="set it with the token's own tool",
            ) from None
        except PKCS11Error as error:
            raise TokenLostError(
                f"the token {where!r} does not answer ({type(error).__name__})",
                hint=_AGAIN,
            ) from None

    def _wrong_pin(self) -> KeyUnavailableError:
        message = f"the PIN of the token {self.uri.where!r} is wrong"
        left = ""
        with contextlib.suppress(KeyUnavailableError):
            left = pin_problems(connect(self.uri))
        if "blocked" in left:
            return KeyUnavailableError(f"{message}, and that was the last attempt: it is blocked now", hint=UNBLOCK)
        if "one attempt" in left:
            return KeyUnavailableError(f"{message}; {left}", hint=f"when the PIN is certain, type: {LAST_TRY}")
        return KeyUnavailableError(
            f"{message}; the token does not tell how many attempts are left",
            hint="look for the right one before the next",
        )


def _text_of(pin: Passphrase | None, where: str) -> str:
    """The PIN as the library takes it.

    Raises:
        KeyUnavailableError: there is none, or it cannot be one, so that no attempt is spent on it.
    """
    if pin is None:
        raise KeyUnavailableError(
            f"the PIN of the token {where!r} is needed", hint="put it on the first line of a file: --passphrase-file"
        )
    if pin.is_random_key or pin.further or len(pin.octets) > _LONGEST_PIN:
        raise KeyUnavailableError(
            f"this is a passphrase, or more than one line, and not the PIN of the token {where!r}; nothing was tried",
            hint="name a file that holds the PIN alone: --passphrase-file or IOTONBOARD_PASSPHRASE_FILE",
        )
    return pin.octets.decode("utf-8")
