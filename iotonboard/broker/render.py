"""The text of the managed region, in both styles, and the whole ACL file around it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from iotonboard.broker.region import BEGIN_LINE, END_LINE, Change, OperatorText, check_operator_text
from iotonboard.broker.region_check import RegionCheck
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


_NO_EXTRA: Extra = {}
_BATCH = 4096  # devices per piece: large enough that the loop costs nothing, small in memory
_IDS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}\n)*+")


class _Blocks(NamedTuple):
    """One ``user`` block for each name: the ``common`` lines with its id, then its own topics of ``extra``."""

    names: Iterable[str]
    common: str
    extra: Extra = _NO_EXTRA


class Region:
    """The text of a region, in pieces of whole lines, with what was meant by it. It can be taken once.

    ``templates`` are checked rules. ``users`` counts the ``user`` blocks rendered so far.
    """

    def __init__(self, style: Style, templates: Sequence[TopicRule], patterns: str, blocks: Sequence[_Blocks]) -> None:
        self.style: Style = style
        self.templates = templates
        self.users = 0
        self._patterns = patterns
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        """Render piece by piece; names are read as the text is taken."""
        if self._patterns:
            yield self._patterns.encode()
        for blocks in self._blocks:
            yield from self._render(blocks)

    def _render(self, blocks: _Blocks) -> Iterator[bytes]:
        parts = f"user {PLACEHOLDER}\n{blocks.common}".split(PLACEHOLDER)  # id.join(parts) is the block's common part
        names = iter(blocks.names)
        while batch := list(islice(names, _BATCH)):
            _check_ids(batch)
            chosen = batch if blocks.common else [name for name in batch if blocks.extra.get(name)]
            if blocks.extra.keys().isdisjoint(batch):  # nearly always; a million devices take half the time
                text = "".join([name.join(parts) for name in chosen])
            else:
                text = "".join([name.join(parts) + _own_lines(name, blocks.extra.get(name, ())) for name in chosen])
            self.users += len(chosen)
            if text:
                yield text.encode()


def render_region_per_device(
    names: Iterable[str],
    templates: Sequence[TopicRule],
    *,
    extra: Extra = _NO_EXTRA,
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
    permitted = _Blocks(names, _rule_lines(checked), extra)
    return Region("per-device", checked, "", (permitted, _Blocks(denied, _silence(checked, deny_roots))))


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
    patterns = "".join(f"pattern {rule.access} {pattern_topic(rule.topic)}\n" for rule in checked)
    denies = _rule_lines(rule for rule in checked if rule.access is Access.DENY)
    silent: set[str] = set()
    silenced = _Blocks(_each_once(denied, silent), _silence(checked, deny_roots))
    others = _Blocks((name for name, own in extra.items() if own and name not in silent), denies, extra)
    return Region("pattern", checked, patterns, (silenced, others))


def replace_region(
    operator: OperatorText, region: Region, *, change: Change | None = None, version: Version = "2.0"
) -> Iterator[bytes]:
    """Yield a whole ACL file: the operator's text as it was, and a new region in the place of the old one.

    ``change`` is what the region says of itself.

    Every piece passes a ``RegionCheck`` before it is yielded, whole blocks at a time; an error while iterating means
    that what was yielded so far must not be used. The one octet that may be added to the operator's text is a final
    newline before a new region.

    Raises:
        PolicyError: at the call, lines of the operator's that break the broker; while iterating, a region that is not
            what was meant.
    """
    return frame_region(operator, checked(region), change, version=version)


def checked(region: Region) -> Iterator[bytes]:
    """Yield a region's pieces, each behind the strict check.

    Raises:
        PolicyError: it is not what was meant.
    """
    check = RegionCheck(region.style, region.templates)
    for piece in region:
        check.feed(piece)
        yield piece
    check.finish(users=region.users)


def frame_region(
    operator: OperatorText, pieces: Iterable[bytes], change: Change | None, *, version: Version = "2.0"
) -> Iterator[bytes]:
    """Yield a whole ACL file: the operator's text around the pieces of a region that was checked.

    Raises:
        PolicyError: at the call, lines of the operator's that break the broker.
    """
    check_operator_text(operator, version=version)
    return _framed(operator, pieces, change)


def _framed(operator: OperatorText, pieces: Iterable[bytes], change: Change | None) -> Iterator[bytes]:
    yield operator.before
    if operator.before and not operator.before.endswith(b"\n"):
        yield b"\n"
    yield change.begin_line() if change else BEGIN_LINE
    yield from pieces
    yield END_LINE
    yield operator.after


def _rule_lines(rules: Iterable[TopicRule]) -> str:
    return "".join(f"topic {rule.access} {rule.topic}\n" for rule in rules)


def _silence(templates: Iterable[TopicRule], deny_roots: Collection[str]) -> str:
    """Write the lines that take everything from a device, with the id's placeholder."""
    own = (rule.topic.partition("/")[0] for rule in templates if rule.topic.startswith("$"))
    roots = dict.fromkeys(["$SYS", *own, *sorted(deny_roots)])
    rules = [TopicRule(Access.DENY, topic) for topic in ("#", *(f"{root}/#" for root in roots))]
    return _rule_lines(check_topic_rule(rule, template=True) for rule in rules)


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
            DeviceId.adopted(name)


def style_warning(devices: int, version: Version) -> str:
    """Say what the per-device style costs with so many devices; empty below the limit, and for 2.1."""
    if devices < PER_DEVICE_LIMIT or version != "2.0":
        return ""
    measured = ", ".join(f"{seconds:g} s with {blocks}" for blocks, seconds in FREEZE_S.items())
    return f"{devices} blocks slow the broker down: Mosquitto 2.0 serves nobody during a reload (measured: {measured})"
