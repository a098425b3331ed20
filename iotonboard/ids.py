"""What devices are called: ids of new ones, names of those that other programs registered, and of their files."""

from __future__ import annotations

import re
import shlex
from hashlib import sha256
from typing import Self

from iotonboard.errors import PolicyError, quoted

_LETTERS = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
# Names that Windows reserves for devices, with or without an extension, in any case.
_WINDOWS_DEVICE = r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?"
_DEVICE_ID = re.compile(rf"(?!{_WINDOWS_DEVICE}\Z){_LETTERS}(?<!\.)")
MAX_ID_LETTERS = 64  # RFC 5280 appendix A.1, ub-common-name
# Wildcards and the end of a level; what Mosquitto and this program expand in a topic.
_WITH_A_MEANING = re.compile(r"[+#/%]|\{device_id\}")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_NAME = 160  # octets of a file's name, to which endings are added: most disks take 255


class DeviceId(str):
    """A device's name: at once commonName, file name, MQTT user name, topic level and ACL token.

    Grammar: ``[A-Za-z0-9][A-Za-z0-9._-]{0,63}``. A commonName has at most 64 characters (RFC 5280 appendix A,
    ub-common-name). None of these letters ends a topic level, a line of an ACL or a folder's name, or is a wildcard or
    a part of ``%u``, and nothing that begins so is read as an option. Windows drops a dot at the end of a file's name
    and reserves names such as ``con`` and ``com1.x``: both are refused.
    Uniqueness without regard to case is the store's business.

    A device that was taken over from another program keeps its name: see ``DeviceId.adopted``. Whatever reads the name
    of a device that is there already takes such names too.

    Raises:
        PolicyError: the text is not in the grammar.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check ``text`` against the grammar."""
        if _DEVICE_ID.fullmatch(text):
            return super().__new__(cls, text)
        if not re.fullmatch(_LETTERS, text):
            raise PolicyError(
                f"{quoted(text)} is not a device id",
                hint="use 1 to 64 letters, digits, dots, dashes and underscores; start with a letter or digit",
            )
        raise PolicyError(
            f"{text!r} cannot be a file name everywhere",
            hint="choose an id that Windows accepts as a file name",
        )

    @classmethod
    def adopted(cls, text: str) -> Self:
        """Take the name of a device that may come from elsewhere, such as a MAC address with colons.

        One line of an ACL must hold it and mean this device alone, and so must one level of a topic, written as such
        and as Mosquitto's ``%u``.

        Raises:
            PolicyError: they cannot; the message says why.
        """
        if not _DEVICE_ID.fullmatch(text) and (problem := _problem_of(text)):
            raise PolicyError(
                f"{quoted(text)} cannot be a device id: {problem}",
                hint="a line of the ACL and a topic must hold it: such a device needs another name",
            )
        return super().__new__(cls, text)


def parse_id(text: str) -> DeviceId:
    """Take what names a device that may be there already, adopted or not; a new one's id is a ``DeviceId`` proper.

    Raises:
        PolicyError: no device can be called so.
    """
    try:
        return DeviceId.adopted(text)
    except PolicyError:
        return DeviceId(text)  # which says what is allowed


def _problem_of(text: str) -> str:
    """Why a line of an ACL or a level of a topic cannot hold a text; empty when both can."""
    if not 1 <= len(text) <= MAX_ID_LETTERS:
        return f"it has {len(text)} characters, and a commonName 1 to {MAX_ID_LETTERS}"
    if not text.isprintable():
        return "it holds a control character, or one that cannot be shown"
    if text != text.strip(" "):
        return "Mosquitto drops a blank at either end"
    if found := _WITH_A_MEANING.search(text):
        return f"{found[0]!r} has a meaning of its own in topics"
    return "'$' begins topics of the broker's own" if text[0] == "$" else ""


def folder_name(device_id: str) -> str:
    """What a folder or a file of a device is called: on every disk, and two devices' never the same.

    The id itself, but for ids of adopted devices that a disk may refuse: in these each octet that is no letter, digit,
    dash or underscore is written as ``%3A``. No id holds a ``%``. Of a very long one it is a digest.

    Raises:
        PolicyError: ``device_id`` is none.
    """
    if _DEVICE_ID.fullmatch(device_id):
        return device_id
    octets = DeviceId.adopted(device_id).encode("utf-8")
    name = "".join(chr(octet) if octet in _PLAIN else f"%{octet:02X}" for octet in octets)
    if "%" not in name or name[0] == "-":  # a name of Windows' own, or one that looks like an option
        name = f"%{octets[0]:02X}{name[1:]}"
    return name if len(name) <= _LONGEST_NAME else f"%-{sha256(octets).hexdigest()}"


def in_command(device_id: str) -> str:
    """An id as it is typed into a shell."""
    return shlex.quote(device_id)
