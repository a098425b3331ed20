"""Which ACL a broker's machine has in the end: the one whose region is the later change of the state.

A package says of which regions its own is a later one. What is here and is none of these was written by another copy of
the state: what it grants, the package's state may know nothing of, and what it took away, that one would grant again.
So it stays, and whoever the package denies is denied in it too. An ACL here that is damaged counts as the one that was
kept of the packages before: damage makes no older region fresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.acl import parse_acl
from iotonboard.broker.denials import denied_there, silence, with_rights
from iotonboard.broker.package import ACL, CA
from iotonboard.broker.region import stream_operator_text
from iotonboard.errors import PolicyError
from iotonboard.pki.key_id import key_id
from iotonboard.pki.pem import pem_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.broker.merge import Merged
    from iotonboard.broker.package import Package
    from iotonboard.broker.region import Change
    from iotonboard.broker.standing import Standing


@dataclass(frozen=True, slots=True)
class AclHere:
    """The ACL of a broker's folder, those that were ``kept`` of packages before, the newest first, and who was denied.

    ``denied`` are devices that a region of another copy denied, and no package has since. ``standing`` is how the
    package stands to offices.
    """

    acl: bytes | None
    kept: Callable[[], Iterable[bytes]] = tuple
    denied: tuple[str, ...] = ()
    standing: Standing | None = None

    @property
    def is_offices(self) -> bool:
        """Say whether the ACL is an office's, and the package one of its stations'."""
        return self.standing is not None and bool(self.standing.ruling)


def choose_acl(package: Package, here: AclHere, merged: Merged, *, is_newest: bool) -> bytes | None:
    """The ACL to have in place; ``None`` when there is none. ``merged`` has the lists already, and is told what of it.

    Raises:
        PolicyError: the ACL is not the one that the package says it has, or is older than one that was here before.
    """
    coming = package.files.get(ACL)
    if coming is None:
        if package.manifest.acl_change:  # a root has none
            merged.older.append("the package has no ACL")
        return here.acl
    choice = _Choice(package, coming, here, merged, is_newest)
    chosen = choice.choose()
    pending = {name for one in merged.pending.values() for name in one.names}
    if pending := with_rights(chosen or b"", pending):
        merged.kept.append(
            f"{len(pending)} devices {_few(pending)} stay denied: their station knows more than its office"
        )
    return silence(chosen, choice.denied | pending) if chosen is not None else None


def _few(names: Iterable[str]) -> str:
    return f"({', '.join(sorted(names)[:5])})"


class _Choice:
    """One choice, and what it is made of."""

    def __init__(self, package: Package, coming: bytes, here: AclHere, merged: Merged, is_newest: bool) -> None:  # noqa: FBT001
        self.package, self.coming, self.here, self.merged, self.is_newest = package, coming, here, merged, is_newest
        is_office = package.manifest.office is not None
        own = set() if is_office else {one.certificate for one in package.manifest.issuers}
        cas = pem_blocks("CERTIFICATE", package.files[CA])
        self.keys = {key_id(der) for der in cas if sha256(der).hexdigest() in own}
        self.new = self._change_of_package()
        self.keys |= {self.new.key} if self.new else set()
        self.denied = set(here.denied)

    def choose(self) -> bytes | None:
        there, old = self.here.acl, change_of(self.here.acl or b"")
        if old is None:
            there, old = self._kept() or (self.here.acl, None)
        if self._stays(there, old) and there is self.here.acl and not _is_sound(there):
            there, old = self._kept() or (there, old)
        if there is not self.here.acl:
            self.merged.dropped.append("the ACL here, whose region is damaged or gone")
        if not self._stays(there, old):
            self._refuse_below_floor(there)
            self._take(there, old)
            return self.coming
        self._keep(there, old)
        return there

    def _change_of_package(self) -> Change | None:
        new, manifest = change_of(self.coming), self.package.manifest
        if manifest.format > 1 and new and (new.key, new.number) != (manifest.key, manifest.acl_change):
            raise PolicyError("the ACL of this package is not the one that it says it is", hint="ask for a new package")
        return new

    def _kept(self) -> tuple[bytes, Change] | None:
        """The newest ACL that was kept and can be read."""
        kept = ((acl, change_of(acl)) for acl in self.here.kept())
        return next(((acl, change) for acl, change in kept if change and _is_sound(acl)), None)

    # -- what is there and what comes -----------------------------------------------------------------------------

    def _is_of_this_state(self, old: Change | None) -> bool:
        return old is not None and self.new is not None and old.key in self.keys

    def _is_listed(self, old: Change) -> bool:
        new = self.new
        is_same = new is not None and (old.number, old.row, old.mark) == (new.number, new.row, new.mark)
        return is_same or (old.number, old.row, old.mark) in self.package.manifest.acl_before

    def _is_fork(self, old: Change | None) -> bool:
        """Say whether the region there was written by another copy of the state, as far as the package can say."""
        manifest = self.package.manifest
        if self.merged.is_behind:  # an older list in a package that is newer by its counter
            return self.is_newest and manifest.format > 1
        if not self._is_of_this_state(old) or old is None or self.new is None or manifest.format == 1 or not old.mark:
            return False
        is_later = old.number > self.new.number  # of this state, and carried by hand: or so it may be
        return not (is_later or old.number < manifest.acl_floor or self._is_listed(old))

    def _stays(self, there: bytes | None, old: Change | None) -> bool:
        if there is None:
            return False
        is_of_here = self._is_of_this_state(old) and old is not None and self.new is not None
        is_older = is_of_here and self.new.number < old.number  # type: ignore[union-attr]
        is_newer = is_of_here and self.new.number > old.number  # type: ignore[union-attr]
        return bool(is_older or self.merged.is_behind or self._is_fork(old) or not (self.is_newest or is_newer))

    # -- what is told, and noted ----------------------------------------------------------------------------------

    def _keep(self, there: bytes | None, old: Change | None) -> None:
        new, manifest = self.new, self.package.manifest
        if self._is_fork(old):
            what = f"change {old.number} of the ACL" if old else "the ACL"
            mine = f"change {new.number}" if new else "the one"
            self.merged.forked.append(
                f"{what} here is of another copy of the state than {mine} of this package: it stays, and whom the"
                " package denies is denied in it"
            )
            self.denied |= set(manifest.denied)
            self.merged.denied = tuple(sorted(self.denied))
            return
        self.merged.denied = tuple(sorted(self.denied))
        if self.here.is_offices:
            self.merged.older.append("the ACL: it is the office's here, whose next package brings what this one gives")
            return
        if self.merged.takes_lists:  # and so the same serials are revoked
            self.denied |= set(manifest.denied)
        if old and new and self._is_of_this_state(old) and new.number < old.number:
            self.merged.older.append(f"change {new.number} of the ACL is older than change {old.number} here")
        elif self.coming != there:
            self.merged.older.append("the ACL is of a package that is older than the one here")

    def _take(self, there: bytes | None, old: Change | None) -> None:
        self.denied -= set(self.package.manifest.denied)
        is_settled = old is not None and old.mark and self._is_of_this_state(old) and not self._is_listed(old)
        if is_settled and there is not None and self.package.manifest.format > 1:
            self.denied |= denied_there(there, self.here.kept(), self.coming)
        self.denied = with_rights(self.coming, self.denied)
        if self.denied:
            shown, standing = _few(self.denied), self.here.standing
            who = "an office" if standing is not None and standing.giving_way else "another copy of the state"
            self.merged.kept.append(
                f"{len(self.denied)} devices stay denied {shown}: {who} denied them; revoke them"
                " on the workstation, or let them in with --accept-older"
            )
        self.merged.denied = tuple(sorted(self.denied))
        if self.new:
            name = f"acl {self.new.key}"
            self.merged.highest[name] = max(self.merged.highest.get(name, 0), self.new.number)

    def _refuse_below_floor(self, there: bytes | None) -> None:
        """An older region is not let in because nothing is here to compare it with."""
        floor = max((self.merged.highest.get(f"acl {key}", 0) for key in self.keys), default=0)
        if self.new and self.new.number < floor and (there is None or change_of(there) is None):
            raise PolicyError(
                f"change {self.new.number} of the ACL is older than change {floor}, which was here before",
                hint="apply the newest package; --accept-older when you know why this one must go in",
            )


def change_of(acl: bytes) -> Change | None:
    """Which change of a state an ACL has; ``None`` where it does not say, or its markers are damaged."""
    try:
        return stream_operator_text([acl]).change
    except PolicyError:
        return None


def _is_sound(acl: bytes | None) -> bool:
    """Say whether the broker can read an ACL."""
    try:
        parse_acl(acl or b"")
    except PolicyError:
        return False
    return acl is not None
