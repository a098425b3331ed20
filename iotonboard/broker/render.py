"""The text of the managed region, in both styles, and the whole ACL file around it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from iotonboard.broker.recheck import RegionCheck
from iotonboard.broker.region import BEGIN_LINE, END_LINE, OperatorText, check_operator_text, cut, stream_operator_text
from iotonboard.broker.topics import PLACEHOLDER, check_topic_rule, pattern_topic
from iotonboard.model import Access, DeviceId, TopicRule

if TYPE_CHECKING:
    from iotonboard.broker.acl import Version

Style = Literal["per-device", "pattern"]
Extra = Mapping[str, Sequence[TopicRule]]
PER_DEVICE_LIMIT = 5000
# Seconds for which Mosquitto 2.0 serves nobody while it reads so many 'user' blocks at a reload. It looks each
# name up in a list, so the time grows with the square; 2.1 has a hash table.
FREEZE_S = {1_000: 0.02, 10_000: 0.6, 50_000: 20, 100_000: 204}


_NONE: Extra = {}
_BATCH = 4096  # devices per piece: large enough that the loop costs nothing, small in memory
_IDS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}\n)*+")


class Region(Iterator[bytes]):
    """The text of a region, piece by piece, with what was meant by it.

    ``templates`` are checked rules. ``users`` counts the ``user`` blocks rendered so far.
    """

    def __init__(
        self, style: Style, templates: Iterable[TopicRule], pieces: Callable[[Region], Iterator[bytes]]
    ) -> None:
        self.style: Style = style
        self.templates = tuple(templates)
        self.users = 0
        self._pieces = pieces(self)

    def __next__(self) -> bytes:
        """Return the next piece: whole lines."""
        return next(self._pieces)


def render_region_per_device(
    names: Iterable[str],
    templates: Sequence[TopicRule],
    *,
    extra: Extra = _NONE,
    denied: Iterable[str] = (),
    deny_roots: Collection[str] = (),
) -> Region:
    """Render one ``user`` block per device: the templates with its id, then its own extra topics.

    Args:
        names: devices that may connect; read as the text is taken.
        templates: what every device gets. A device with neither template nor extra topic gets no block.
        extra: topics that single devices get besides.
        denied: devices to silence all the same, after the others; see ``devices_to_deny``.
        deny_roots: as in ``render_region_pattern``.

    Raises:
        PolicyError: an id or a rule that cannot be written; for ``templates`` at the call, else later.
    """
    checked = [check_topic_rule(rule, template=True) for rule in templates]
    silence = _silence(checked, deny_roots)

    def pieces(region: Region) -> Iterator[bytes]:
        yield from _blocks(region, names, extra, _rule_lines(checked))
        yield from _blocks(region, denied, _NONE, silence)

    return Region("per-device", checked, pieces)


def render_region_pattern(
    templates: Sequence[TopicRule],
    denied: Iterable[str],
    extra: Extra,
    *,
    deny_roots: Collection[str] = (),
) -> Region:
    """Render one ``pattern`` line per template, and ``user`` blocks for the exceptions only.

    ``{device_id}`` becomes ``%u``. A denied device is silenced: ``deny #`` takes everything but the ``$``
    topics, which need a line for each first level: ``$SYS``, those of the templates and ``deny_roots``.
    A device with extra topics gets the ``deny`` templates again in its own block, for the broker looks at
    patterns only where the block decided nothing. So both styles give the same verdict.

    Args:
        templates: what every client with a certificate gets.
        denied: devices to silence, read as the text is taken; their extra topics are left out.
        extra: devices with topics of their own.
        deny_roots: first levels of ``$`` topics that the operator's own rules open; see ``dollar_roots``.

    Raises:
        PolicyError: at the call, a template in which ``{device_id}`` is not alone in its level, which no
            pattern can say; later, an id or a rule that cannot be written.
    """
    checked = [check_topic_rule(rule, template=True) for rule in templates]
    patterns = "".join(f"pattern {rule.access} {pattern_topic(rule.topic)}\n" for rule in checked).encode()
    silence = _silence(checked, deny_roots)
    kept = _rule_lines(rule for rule in checked if rule.access is Access.DENY)
    silent: set[str] = set()

    def pieces(region: Region) -> Iterator[bytes]:
        if patterns:
            yield patterns
        yield from _blocks(region, _each_once(denied, silent), _NONE, silence)
        yield from _blocks(region, (name for name, own in extra.items() if own and name not in silent), extra, kept)

    return Region("pattern", checked, pieces)


def replace_region(
    current: bytes | OperatorText, region: Iterable[bytes], *, version: Version = "2.0"
) -> Iterator[bytes]:
    """Yield a whole ACL file: the operator's text as it was, and a new region in the place of the old one.

    Every piece is checked as ``verify_region`` does before it is yielded, whole blocks at a time; an error
    while iterating means that what was yielded so far must not be used. The one octet that may be added
    to the operator's text is a final newline before a new region.

    Raises:
        PolicyError: at the call, damaged markers or lines of the operator's that break the broker; while
            iterating, a region that is not what was meant.
    """
    operator = stream_operator_text(cut(current)) if isinstance(current, bytes) else current
    check_operator_text(operator, version=version)
    return _replace(operator, region)


def _replace(operator: OperatorText, region: Iterable[bytes]) -> Iterator[bytes]:
    check = _check_of(region)
    yield operator.before
    if operator.before and not operator.before.endswith(b"\n"):
        yield b"\n"
    yield BEGIN_LINE
    for piece in region:
        check.feed(piece)
        yield piece
    check.finish(users=region.users if isinstance(region, Region) else None)
    yield END_LINE
    yield operator.after


def _check_of(region: Iterable[bytes]) -> RegionCheck:
    return RegionCheck(region.style, region.templates) if isinstance(region, Region) else RegionCheck()


def _rule_lines(rules: Iterable[TopicRule]) -> str:
    return "".join(f"topic {rule.access} {rule.topic}\n" for rule in rules)


def _silence(templates: Iterable[TopicRule], deny_roots: Collection[str]) -> str:
    """Write the lines that take everything from a device, with the id's placeholder."""
    own = (rule.topic.partition("/")[0] for rule in templates if rule.topic.startswith("$"))
    roots = dict.fromkeys(["$SYS", *own, *sorted(deny_roots)])
    rules = [TopicRule(Access.DENY, topic) for topic in ("#", *(f"{root}/#" for root in roots))]
    return _rule_lines(check_topic_rule(rule, template=True) for rule in rules)


def _blocks(region: Region, names: Iterable[str], extra: Extra, common: str) -> Iterator[bytes]:
    """Write one block per name, many in a piece; ``common`` are the lines that all of them have."""
    parts = f"user {PLACEHOLDER}\n{common}".split(PLACEHOLDER)  # id.join(parts) is the whole block
    source = iter(names)
    while batch := list(islice(source, _BATCH)):
        _check_ids(batch)
        if extra.keys().isdisjoint(batch):
            chosen = batch if common else []
            text = _common_blocks(parts, chosen)
        else:
            chosen = [name for name in batch if common or extra.get(name)]
            text = "".join([name.join(parts) + _own_lines(name, extra.get(name, ())) for name in chosen])
        region.users += len(chosen)
        if text:
            yield text.encode()


def _common_blocks(parts: Sequence[str], names: Sequence[str]) -> str:
    """``name.join(parts)`` for every name, in one go: no string is made per device."""
    cells = [cell for part in parts for cell in ("", part)][1:] * len(names)
    width = 2 * len(parts) - 1
    for position in range(1, width, 2):
        cells[position::width] = names
    return "".join(cells)


def _each_once(names: Iterable[str], seen: set[str]) -> Iterator[str]:
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name


def _own_lines(name: str, rules: Sequence[TopicRule]) -> str:
    return _rule_lines(check_topic_rule(rule, template=True) for rule in rules).replace(PLACEHOLDER, name)


def _check_ids(names: Sequence[str]) -> None:
    """Hold many ids against the grammar at once; the slow way names the one that is wrong."""
    joined = "\n".join(names) + "\n"
    if not _IDS.fullmatch(joined) or joined.count("\n") != len(names):
        for name in names:
            DeviceId(name)


def style_warning(devices: int) -> str:
    """Say what the per-device style costs with so many devices; empty below the limit."""
    if devices < PER_DEVICE_LIMIT:
        return ""
    measured = ", ".join(f"{seconds:g} s with {blocks}" for blocks, seconds in FREEZE_S.items())
    return f"{devices} blocks slow the broker down: Mosquitto 2.0 serves nobody during a reload (measured: {measured})"
