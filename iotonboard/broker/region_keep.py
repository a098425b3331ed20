"""A region that another copy of the state wrote: it stays, and devices that are revoked here are silenced in it.

What it grants, this copy may know nothing of; and what it took away, this copy would grant again. So nothing is added
but silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iotonboard.broker.acl import parse_acl
from iotonboard.broker.region import END
from iotonboard.broker.render import frame_region, render_region_per_device
from iotonboard.errors import PolicyError
from iotonboard.model import Access

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from iotonboard.broker.acl import AclRule
    from iotonboard.broker.region import Change, OperatorText
    from iotonboard.model import TopicRule

_BLOCK = re.compile(rb"(?m)^user ([^\n]*)\n(?:(?!user )[^\n]*\n)*")


def keep_region(
    whole: bytes,
    operator: OperatorText,
    denied: Sequence[str],
    templates: Sequence[TopicRule],
    *,
    deny_roots: Collection[str],
    change: Change | None,
) -> Iterator[bytes]:
    """Yield an ACL file whose region stays as it is, but for the ``denied`` devices, which are silenced.

    ``whole`` is the file, ``operator`` what stands around the region in it; ``templates`` and ``deny_roots`` as in
    ``render_region_per_device``.

    Raises:
        PolicyError: the region cannot be read as Mosquitto reads it.
    """
    body = _body(whole, operator)
    silent = set(denied)
    kept = _BLOCK.sub(lambda block: b"" if block[1].decode("utf-8", "replace") in silent else block[0], body)
    silence = b"".join(render_region_per_device((), templates, denied=denied, deny_roots=deny_roots))
    _check(body, kept + silence, silent)
    return frame_region(operator, (kept, silence), change)


def _body(whole: bytes, operator: OperatorText) -> bytes:
    """The region's own lines, between the two markers."""
    framed = whole[len(operator.before) : len(whole) - len(operator.after)]
    begin, end = framed.find(b"\n") + 1, framed.rfind(b"\n" + END) + 1
    return framed[begin:end]


def _check(before: bytes, after: bytes, silent: Collection[str]) -> None:
    """Hold what was made against what was there: the same for everybody but the silenced."""
    old, new = parse_acl(before), parse_acl(after)
    others = [{name: _meaning(rules) for name, rules in acl.users.items() if name not in silent} for acl in (old, new)]
    is_silent = all(rule.access is Access.DENY for name in silent for rule in new.users[name])
    if others[0] != others[1] or _meaning(old.patterns) != _meaning(new.patterns) or not is_silent:
        raise PolicyError("the ACL region of another copy cannot be kept", hint="report this as a defect")


def _meaning(rules: Iterable[AclRule]) -> list[tuple[Access, str]]:
    return [(rule.access, rule.topic) for rule in rules]
