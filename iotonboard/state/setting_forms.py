"""How the text of a setting is read and checked; each form raises ``ValueError`` with what the value must be."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iotonboard.broker import reload_method
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.errors import PolicyError, UsageError
from iotonboard.model import parse_moment, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable


def text(value: object) -> str:
    """One line."""
    if not isinstance(value, str) or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must be one line of text")
    return value


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number in a range."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError("must be a whole number")  # noqa: TRY004 - reported as a bad value, not a bad type
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise ValueError("must be a whole number")
        if not low <= int(value) <= high:
            raise ValueError(f"must be between {low} and {high}")
        return int(value)

    return parse


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words, or what matches ``pattern`` and is ``called`` so."""

    words: tuple[str, ...]
    pattern: str = ""
    called: str = ""

    def __call__(self, value: object) -> str:
        """The value, if it is one of them."""
        if value in self.words or (self.pattern and re.fullmatch(self.pattern, text(value))):
            return str(value)
        raise ValueError(f"must be one of {', '.join(filter(None, (*self.words, self.called)))}")


def one_of(*words: str) -> OneOf:
    """One of some words."""
    return OneOf(words)


keep_keys = OneOf(("always", "until-confirmed"), r"days:[1-9][0-9]{0,4}", "days:N")


def path(value: object) -> str:
    """A path that is not empty; a ``~`` in front is somebody's home, who must be there."""
    name = text(value)
    if not name.strip():
        raise ValueError("must be a path")
    if name.startswith("~") and os.path.expanduser(name) == name:
        raise ValueError(f"there is no home folder {name.partition('/')[0]!r}")
    return name


def path_or_nothing(value: object) -> str:
    """A path, or empty."""
    return path(value) if value else text(value)


def name_part(value: object) -> str:
    """O or OU of a subject: RFC 5280 appendix A.1 bounds both to 64 characters, and so does every reader."""
    name = text(value)
    if len(name) > 64:
        raise ValueError("takes at most 64 characters in a certificate")
    return name


def country(value: object) -> str:
    """Two capital letters, or empty."""
    if value != "" and not re.fullmatch(r"[A-Z]{2}", text(value)):
        raise ValueError("must be two capital letters (ISO 3166)")
    return str(value)


def reload(value: object) -> str:
    """``pid:FILE``, ``systemd:UNIT``, ``command:WORDS``, or empty."""
    if value == "":
        return ""
    try:
        method = reload_method.parse_method(text(value))
    except UsageError as error:
        raise ValueError(f"must be pid:FILE, systemd:UNIT or command:WORDS: {error.message}") from None
    return f"pid:{path(method.target)}" if method.kind == "pid" else str(value)


def day(value: object) -> str:
    """A day or moment from 1970 on, in UTC, or empty."""
    try:
        return rfc3339(parse_moment(text(value))) if value != "" else ""
    except PolicyError:
        raise ValueError("must be a day from 1970 on, such as 1970-01-01, or empty") from None


_CRL_URL = re.compile(
    r"(?:http://|ldap://)(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)"
)


def crl_url(value: object) -> str:
    """Where a list of revocations is fetched: ``http://`` or ``ldap://`` (RFC 5280 4.2.1.13), or empty.

    Not ``https://``: to verify that server a list would be needed first (RFC 5280 section 8).
    """
    url = text(value)
    if not url:
        return ""
    match = _CRL_URL.fullmatch(url)
    if match is None or len(url) > 512 or not 0 < int(match["port"] or 80) < 65536 or ".." in match["host"]:
        raise ValueError(
            "must be a URL in ASCII that begins with http:// or ldap://, such as http://crl.plant.example/crl.der"
        )
    if url.startswith("ldap:") and not re.fullmatch(r"/[^?]+\?[^?]+(?:\?.*)?", match["path"]):
        raise ValueError(
            "must name an entry and its attribute: ldap://host/CN=CA,O=Works?certificateRevocationList;binary"
        )
    return url


def fingerprint(value: object) -> str:
    """SHA-256 of a certificate in hex, in any spelling, or empty."""
    digits = re.sub(r"[:\s]", "", text(value)).lower()
    if not re.fullmatch(r"(?:[0-9a-f]{64})?", digits):
        raise ValueError("must be the SHA-256 of a certificate: 64 hexadecimal digits")
    return digits


def octal(value: object) -> str:
    """A file mode, or empty."""
    if value != "" and not re.fullmatch(r"0?[0-7]{3}", text(value)):
        raise ValueError('must be a file mode such as "0640"')
    return str(value)


def database_url(value: object) -> str:
    """The database's address, relative to the state directory or absolute."""
    if not re.fullmatch(r"sqlite:///[^?#]+", text(value)):
        raise ValueError("must look like sqlite:///devices.db")
    return str(value)


def topics(value: object) -> tuple[str, ...]:
    """``[[acl.topics]]`` tables with access and topic, or a list of ``access:topic`` texts."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("must be a list of access and topic")  # noqa: TRY004 - reported as a bad value
    rules = []
    for item in items:
        if isinstance(item, dict):
            if set(item) != {"access", "topic"}:
                raise ValueError("each entry needs exactly 'access' and 'topic'")
            item = f"{item['access']}:{item['topic']}"  # noqa: PLW2901 - the two spellings meet here
        rules.append(text(item))
    try:
        for rule in rules:  # before anything is committed that could then not be published
            parse_topic_rule(rule, template=True)
    except PolicyError as error:
        raise ValueError(error.message) from None
    return tuple(rules)


def profile_name(value: object) -> str:
    """The name of a certificate profile; whether there is one is checked with the others."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value):
        raise ValueError("must be the name of a profile: small letters, digits and dashes")
    return value


def profiles(value: object) -> dict[str, Any]:
    """``[profiles.NAME]`` tables; what is in them is checked where it changes, and where one is used."""
    if not isinstance(value, dict):
        raise ValueError("is written as [profiles.NAME] tables in iotonboard.toml; then: iotonboard config accept")  # noqa: TRY004 - reported as a bad value
    return value
