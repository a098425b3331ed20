"""The ACLs of several stations in the one file that a broker reads.

Each station below a root writes an ACL of its own, whose region it renews. The first that came is the file as ever;
that of every other one stands behind it as a block, in which what would mean something else here is a comment::

    # BEGIN station 0123456789abcdef
    # | # BEGIN iotonboard: change 17 of 0123456789abcdef, row 812 0123456789abcdef; ...
    user press-1
    topic readwrite devices/press-1/#
    # | # END iotonboard
    # END station 0123456789abcdef

To the station of the file itself these lines are as rules that somebody wrote there: it keeps them. A ``topic`` before
the first ``user`` is for clients without a name, which a broker that names them by certificates does not have; in a
block it would be the user's of the block before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iotonboard.broker.acl import rule_lines
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_BLOCK: Final = re.compile(rb"^# BEGIN station ([0-9a-f]{16})\n(.*?)^# END station \1\n", re.DOTALL | re.MULTILINE)
_OPENS: Final = b"# BEGIN station "
_MARKS: Final = re.compile(rb"(?im)^(?=#[ \t]*(?:BEGIN|END)[ \t]+(?:iotonboard|station)\b|# \| )")
_NAMELESS: Final = re.compile(rb"^(?=topic )", re.MULTILINE)
_FIRST_USER: Final = re.compile(rb"^user ", re.MULTILINE)
_QUOTE: Final = b"# | "
_QUOTED: Final = re.compile(rb"^# \| ", re.MULTILINE)


class AclStations:
    """The ACL of a broker's machine as one station sees it: its own, and beside it those of others.

    ``acl`` is what is there, ``own`` the keys of the station (``pki.key_id``), ``siblings`` those of other stations,
    and what those of the ``withdrawn`` wrote is left out: their devices lose their topics. ``has_rules_left``: around
    the region of one of these stand rules, which stay. An office speaks for several stations, whose keys are its own:
    all of theirs gives way to what it brings.
    """

    def __init__(
        self, acl: bytes | None, own: Collection[str], siblings: Collection[str], withdrawn: Collection[str]
    ) -> None:
        main, blocks = split_stations(acl or b"")
        self._own_keys, self._others = own, {*siblings} - {*own}
        self.has_rules_left = False
        if withdrawn and _region_key(main) in withdrawn:
            main = _without_region(main)
            self.has_rules_left = any(True for _ in rule_lines(main))
        self._main = None if acl is None else main
        self._blocks = {key: one for key, one in blocks.items() if key not in withdrawn}
        owns = [key for key in self._blocks if key in own]
        is_main = _region_key(self._main or b"") in own
        self._own_block = "" if is_main or not owns else owns[0]
        self.absorbed = {key: self._blocks[key] for key in owns if key != self._own_block}

    @property
    def own(self) -> bytes | None:
        """The ACL of the station itself; ``None`` where it has none there."""
        if self._own_block:
            return self._blocks[self._own_block]
        return None if self._is_of_another else self._main

    @property
    def giving_way(self) -> dict[str, bytes]:
        """What is replaced by that of the station, by the keys of the regions."""
        own = self.own
        return ({} if own is None else {_region_key(own): own}) | self.absorbed

    @property
    def _is_of_another(self) -> bool:
        return bool(self._main and self._others) and _region_key(self._main or b"") in self._others

    def of_each(self, acls: Iterable[bytes]) -> Iterator[bytes]:
        """The station's own of each of several ACLs, where they have one."""
        for acl in acls:
            found = AclStations(acl, self._own_keys, self._others, ()).own
            if found is not None:
                yield found

    def with_own(self, key: str, acl: bytes | None) -> bytes | None:
        """The whole file, with this ACL as that of the station, whose key is ``key``; ``None`` where there is none."""
        main, leaving = self._main, {self._own_block, *self.absorbed}
        blocks = {one: text for one, text in self._blocks.items() if one not in leaving}
        if acl is not None:
            acl, of_others = split_stations(acl)
            blocks = {one: text for one, text in of_others.items() if one not in self._own_keys} | blocks
            if self._own_block or self._is_of_another:
                blocks[key] = acl
            else:
                main = acl
        if main is None:
            return None
        return main + b"".join(_block(one, text) for one, text in sorted(blocks.items()))


def acls_of(key: str, acls: Iterable[bytes]) -> Iterator[bytes]:
    """Of each of several files the ACL whose region has a key."""
    for acl in acls:
        main, blocks = split_stations(acl)
        if key in blocks:
            yield blocks[key]
        elif _region_key(main) == key:
            yield main


def split_stations(acl: bytes) -> tuple[bytes, dict[str, bytes]]:
    """An ACL without the blocks of other stations, and what these wrote, by their keys."""
    if _OPENS not in acl:
        return acl, {}
    blocks = {one[1].decode("ascii"): _QUOTED.sub(b"", one[2]) for one in _BLOCK.finditer(acl)}
    return _BLOCK.sub(b"", acl), blocks


def station_lines(acl: bytes) -> list[range]:
    """The lines of a file, counted from one, that stand in the blocks of other stations."""
    spans = (one.span() for one in _BLOCK.finditer(acl)) if _OPENS in acl else ()
    return [range(acl.count(b"\n", 0, begin) + 1, acl.count(b"\n", 0, end) + 1) for begin, end in spans]


def _block(key: str, acl: bytes) -> bytes:
    first = _FIRST_USER.search(acl)
    head, rest = (acl[: first.start()], acl[first.start() :]) if first else (acl, b"")
    text = _NAMELESS.sub(_QUOTE, _MARKS.sub(_QUOTE, head)) + _MARKS.sub(_QUOTE, rest)
    end = b"" if not text or text.endswith(b"\n") else b"\n"
    name = key.encode("ascii")
    return b"%b%b\n%b%b# END station %b\n" % (_OPENS, name, text, end, name)


def _region_key(acl: bytes) -> str:
    """The key of the CA whose region an ACL has; empty without one."""
    try:
        change = stream_operator_text([acl]).change
    except PolicyError:
        return ""
    return change.key if change else ""


def _without_region(acl: bytes) -> bytes:
    operator = stream_operator_text([acl])
    return operator.before + operator.after
