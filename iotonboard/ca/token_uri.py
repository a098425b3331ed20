"""Names of keys in a token: URIs of the scheme ``pkcs11`` (RFC 7512) that name one key, and nothing secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotonboard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEME: Final = "pkcs11:"
EXAMPLE: Final = "pkcs11:token=station7;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so"
MAX_OCTETS: Final = 2048
_NAMES: Final = ("token", "manufacturer", "model", "serial", "object", "id", "type")
# What RFC 7512 knows too and changes without the key: a slot is where the token is plugged in.
_PLACES: Final = (
    "slot-id", "slot-description", "slot-manufacturer", "library-version", "library-manufacturer",
    "library-description",
)  # fmt: skip
_UNESCAPED: Final = re.compile(r"[A-Za-z0-9._~:\[\]@!$'()*+,=&/%-]*")  # section 2.3: pk11-pchar and what a query adds
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_KEPT: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-:[]@!$'()*+,="


@dataclass(frozen=True, slots=True)
class TokenUri:
    """One private key of one token, and the module through which it is reached; what is empty or ``None`` is any.

    ``identifier`` is CKA_ID. ``module_path`` is absolute.
    """

    module_path: str
    token: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    object: str | None = None
    identifier: bytes | None = None

    @property
    def where(self) -> str:
        """What people call the token."""
        return self.token or self.serial or self.model or ""

    @property
    def holder(self) -> tuple[str | None, ...]:
        """Equal for keys in one token, which one PIN opens."""
        return self.module_path, self.token, self.manufacturer, self.model, self.serial

    def __str__(self) -> str:
        named = (
            ("token", self.token),
            ("manufacturer", self.manufacturer),
            ("model", self.model),
            ("serial", self.serial),
            ("object", self.object),
        )
        path = [f"{name}={_escaped(value, _KEPT)}" for name, value in named if value is not None]
        if self.identifier is not None:
            path.append("id=" + _escaped(self.identifier, b""))
        return f"{SCHEME}{';'.join(path)}?module-path={_escaped(self.module_path, _KEPT + b'/')}"


def _escaped(value: str | bytes, kept: bytes) -> str:
    octets = value.encode("utf-8") if isinstance(value, str) else value
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in octets)


def parse_token_uri(text: str) -> TokenUri:
    """Read a URI that names one private key.

    Raises:
        UsageError: it is none, names no token, no key or no module, or holds the PIN or where it lies.
    """
    if not text.startswith(SCHEME):
        raise _bad(f"{_shown(text)} does not begin with {SCHEME!r}")
    if len(text.encode("utf-8", "surrogateescape")) > MAX_OCTETS:
        raise _bad(f"it is longer than {MAX_OCTETS} octets")
    path, _, query = text[len(SCHEME) :].partition("?")
    named = dict(_attributes(path, ";", _NAMES))
    asked = dict(_attributes(query, "&", ("module-path",)))
    if named.pop("type", b"private") != b"private":
        raise _bad("type is not 'private'", hint="leave type out: the key that signs is meant")
    if not named.keys() & {"token", "serial"}:
        raise _bad("it names no token", hint="add token= or serial=, as 'pkcs11-tool --list-slots' shows them")
    if not named.keys() & {"object", "id"}:
        raise _bad("it names no key", hint="add object= or id=, as 'pkcs11-tool --list-objects' shows them")
    module_path = _text("module-path", asked.get("module-path", b""))
    if not module_path.startswith("/"):
        raise _bad("it names no module by its whole path", hint="end it with ?module-path=/usr/lib/.../lib....so")
    identifier = named.pop("id", None)
    texts = {name: _text(name, value) for name, value in named.items()}
    return TokenUri(module_path, identifier=identifier, **texts)


def _attributes(part: str, separator: str, known: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    seen = set()
    for attribute in part.split(separator) if part else ():
        name, is_named, value = attribute.partition("=")
        _refuse_name(name, known)
        if not is_named or not value or name in seen:
            what = "is there twice" if name in seen else "has no value"
            raise _bad(f"{name!r} {what}")
        seen.add(name)
        if not _UNESCAPED.fullmatch(value) or _ESCAPE.search(value):
            raise _bad(f"a character of {name!r} is not escaped", hint="write a space as %20, a percent sign as %25")
        yield name, _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), value.encode("ascii"))


def _refuse_name(name: str, known: tuple[str, ...]) -> None:
    if name in ("pin-value", "pin-source"):
        raise _bad(
            f"{name!r} is refused: a PIN stands in no command line and no file of the state",
            hint="leave it out: the PIN is asked for, or read from --passphrase-file",
        )
    if name in _PLACES:
        raise _bad(f"{name!r} changes without the key", hint="name the token by token= or serial=")
    if name == "module-name":
        raise _bad("'module-name' leaves open which file is loaded", hint="name it: module-path=/usr/lib/...")
    if name not in known:
        where = "behind '?'" if known == ("module-path",) else "before '?'"
        raise _bad(f"{_shown(name)} {where} is not known", hint=f"known are: {', '.join((*_NAMES, 'module-path'))}")


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(f"{name!r} is no UTF-8") from None
    if not text.isprintable():
        raise _bad(f"{name!r} holds control characters")
    return text


def _shown(text: str) -> str:
    """A name that may be anything, but never a PIN that stands behind it."""
    return repr(text[:40].split("=", 1)[0])


def _bad(message: str, *, hint: str = f"such as '{EXAMPLE}'") -> UsageError:
    return UsageError(f"this names no key in a token: {message}", hint=hint)
