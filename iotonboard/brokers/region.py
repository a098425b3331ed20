"""The managed region of an ACL file: where it is, what goes in, and the check of what went in.

Only the lines between the two markers are the program's; every octet outside stays as the operator
wrote it. A ``user`` line rules the ``topic`` lines below it up to the next ``user`` line, so

- the region never begins with a ``topic`` line: an operator's last ``user`` block above cannot capture it;
- a ``topic`` line of the operator's below the region, without a ``user`` line of its own before it, would
  belong to the region's last device: it is refused with its line number;
- a new region goes to the end of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from iotonboard.brokers.acl import (
    Acl,
    AclProblem,
    AclSyntaxError,
    Version,
    acl_problems,
    parse_acl,
    rule_lines,
)
from iotonboard.brokers.topics import PLACEHOLDER, check_topic_rule
from iotonboard.errors import PolicyError
from iotonboard.model import Access, DeviceId, TopicRule

BEGIN = b"# BEGIN iotonboard"
END = b"# END iotonboard"
_BEGIN_LINE = BEGIN + b": the program replaces every line down to END\n"
_END_LINE = END + b"\n"
# A marker in any state of repair: a marker that is nearly right must be found, not taken for a comment.
_MARKER = re.compile(rb"#[ \t]*(BEGIN|END)[ \t]+iotonboard\b[^\n]*", re.IGNORECASE)
_MARKER_HINT = (
    "put the two marker lines back, each once and in order; or delete both and all between them, for the "
    "program writes the region anew at the end of the file"
)
_CAPTURE_HINT = "move the line above the region, or put 'user NAME' above it"
_BATCH = 4096  # devices per piece: large enough that the loop costs nothing, small in memory

_IDS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}\n)*+")
_ID = rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}+"
_ACCESS = rb"(?:readwrite|read|write|deny)"
_LEVEL = rb"(?:\+(?![^/\n])|%u(?![^/\n])|[^\x00-\x1f\x7f%+#/]*+)"
# One topic: whole-level wildcards, '#' last, no blank at either end, no control character.
_TOPIC = rb"(?![ \n])(?:\#|" + _LEVEL + rb"(?:/(?!\#)" + _LEVEL + rb")*+(?:/\#)?)(?<! )"
_TOPIC_LINE = rb"topic " + _ACCESS + rb" " + _TOPIC + rb"\n"


@dataclass(frozen=True, slots=True)
class OperatorText:
    """What the operator wrote around the region. ``after_line`` is the line of the file where ``after`` begins."""

    before: bytes
    after: bytes
    after_line: int
    has_region: bool


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What a check found in a region: ``user`` blocks, and lines in all."""

    users: int
    lines: int


class Region(Iterator[bytes]):
    """The text of a region, piece by piece, with what was meant by it.

    ``style`` is ``per-device`` or ``pattern``; ``templates`` are checked rules. ``users`` counts the blocks
    rendered so far.
    """

    def __init__(
        self, style: str, templates: Sequence[TopicRule], pieces: Callable[[Region], Iterator[bytes]]
    ) -> None:
        self.style = style
        self.templates = tuple(templates)
        self.users = 0
        self._pieces = pieces(self)

    def __next__(self) -> bytes:
        return next(self._pieces)


# --- where the region is ---------------------------------------------------------------------------------------


def split_region(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut an ACL file into what is before the region, the region without its markers, and what is after.

    A file without markers is all ``before``.

    Raises:
        PolicyError: a marker is missing, misspelt, there twice or in the wrong order; the message names the line.
    """
    found = _find_markers(text)
    if found is None:
        return text, b"", b""
    begin, inside, end, after = found
    return text[:begin], text[inside:end], text[after:]


def read_operator_text(text: bytes) -> OperatorText:
    """Like ``split_region``, without a copy of the region.

    Raises:
        PolicyError: as ``split_region``.
    """
    found = _find_markers(text)
    if found is None:
        return OperatorText(text, b"", text.count(b"\n") + 1, has_region=False)
    begin, _, _, after = found
    return OperatorText(text[:begin], text[after:], text.count(b"\n", 0, after) + 1, has_region=True)


def stream_operator_text(pieces: Iterable[bytes]) -> OperatorText:
    """Like ``read_operator_text`` for a file read in pieces: memory for the operator's lines only.

    Raises:
        PolicyError: as ``split_region``.
    """
    before, after, _, line = _route(pieces, lambda _piece: None)
    return OperatorText(before, after, line or before.count(b"\n") + 1, has_region=line is not None)


def operator_acl(operator: OperatorText, *, version: Version = "2.0") -> Acl:
    """Read the operator's own rules.

    Raises:
        AclSyntaxError: as ``check_operator_text``.
    """
    check_operator_text(operator, version=version)
    return parse_acl(b"\n".join((operator.before, operator.after)), version=version)


def check_operator_text(operator: OperatorText, *, version: Version = "2.0") -> None:
    """Make sure that the operator's lines neither break the broker nor are captured by the region.

    Raises:
        AclSyntaxError: with every such line, numbered as in the file that was read, and the reason.
    """
    problems = acl_problems(operator.before, version=version)
    problems += acl_problems(operator.after, version=version, first_line=operator.after_line)
    hint = {}
    if captured := _captured_line(operator):
        problems.append(captured)
        hint = {"hint": _CAPTURE_HINT}
    if blocking := [problem for problem in problems if problem.blocks]:
        raise AclSyntaxError(blocking, **(hint if len(blocking) == 1 else {}))


def devices_to_deny(operator: Acl, denied: Iterable[str]) -> Iterator[str]:
    """Yield the devices of ``denied`` that the operator's own lines would still let in, per-device style.

    A ``pattern`` line applies to everybody, so with one of them it is all of them.
    """
    if any(rule.access is not Access.DENY for rule in operator.patterns):
        yield from denied
    else:
        yield from (name for name in denied if name in operator.users)


def dollar_roots(acl: Acl) -> tuple[str, ...]:
    """The first levels, other than ``$SYS``, of the ``$`` topics that the rules of an ACL name."""
    rules = chain(acl.patterns, acl.general, *acl.users.values())
    roots = {rule.topic.partition("/")[0] for rule in rules if rule.topic.startswith("$")}
    return tuple(sorted(root for root in roots if "%" not in root and root != "$SYS"))


def _find_markers(text: bytes) -> tuple[int, int, int, int] | None:
    """Offsets of the BEGIN line, the region, the END line and what follows it."""
    found: list[tuple[bool, int, int]] = []
    for start in _comment_starts(text):
        if match := _MARKER.match(text, start):
            is_begin = match[1].upper() == b"BEGIN"
            _check_marker(match[0], is_begin=is_begin, count=len(found), line=text.count(b"\n", 0, start) + 1)
            found.append((is_begin, start, min(match.end() + 1, len(text))))
    if not found:
        return None
    if len(found) == 1:
        raise _damaged(text.count(b"\n", 0, found[0][1]) + 1, "BEGIN has no END after it")
    return found[0][1], found[0][2], found[1][1], found[1][2]


def _check_marker(marker: bytes, *, is_begin: bool, count: int, line: int) -> None:
    wanted = BEGIN if is_begin else END
    if not marker.startswith(wanted) or marker[len(wanted) : len(wanted) + 1].strip(b":\r \t"):
        raise _damaged(line, f"{marker[:60]!r} is nearly a marker")
    if count > 1:
        raise _damaged(line, "a marker too many")
    if is_begin != (count == 0):
        raise _damaged(line, "END without BEGIN" if count == 0 else "BEGIN a second time")


def _damaged(line: int, reason: str) -> PolicyError:
    return PolicyError(f"the markers in the ACL are damaged: line {line}: {reason}", hint=_MARKER_HINT)


def _comment_starts(text: bytes) -> Iterator[int]:
    if text.startswith(b"#"):
        yield 0
    position = text.find(b"\n#")
    while position >= 0:
        yield position + 1
        position = text.find(b"\n#", position + 1)


def _captured_line(operator: OperatorText) -> AclProblem | None:
    """The operator's line below the region that would become the last device's."""
    for offset, keyword, rest in rule_lines(operator.after) if operator.has_region else ():
        if keyword == "topic":
            reason = "this 'topic' line below the region would belong to the region's last device"
            return AclProblem(operator.after_line + offset - 1, reason, f"topic {rest}")
        if keyword == "user":
            return None
    return None


# --- what goes in ----------------------------------------------------------------------------------------------


def render_region_per_device(
    rows: Iterable[tuple[str, Sequence[TopicRule]]],
    templates: Sequence[TopicRule],
    *,
    denied: Iterable[str] = (),
    deny_roots: Collection[str] = (),
) -> Region:
    """Render one ``user`` block per device: the templates with its id, then its own extra topics.

    Args:
        rows: devices that may connect, with their extra topics; read as it is rendered.
        templates: what every device gets. A device with neither template nor extra topic gets no block.
        denied: devices to silence all the same, after the others; see ``devices_to_deny``.
        deny_roots: as in ``render_region_pattern``.

    Raises:
        PolicyError: an id or a rule that cannot be written; at the call for ``templates``, else while iterating.
    """
    checked = [check_topic_rule(rule, template=True) for rule in templates]
    silence = _silence(checked, deny_roots)

    def pieces(region: Region) -> Iterator[bytes]:
        yield from _blocks(region, rows, _rule_lines(checked))
        yield from _blocks(region, ((name, ()) for name in denied), silence)

    return Region("per-device", checked, pieces)


def render_region_pattern(
    templates: Sequence[TopicRule],
    denied: Iterable[str],
    extra: Iterable[tuple[str, Sequence[TopicRule]]],
    *,
    deny_roots: Collection[str] = (),
) -> Region:
    """Render one ``pattern`` line per template, and ``user`` blocks for the exceptions only.

    ``{device_id}`` becomes ``%u``. A denied device is silenced: ``deny #`` takes everything but the ``$`` topics,
    which need a line for each first level: ``$SYS``, those of the templates and ``deny_roots``. A device with
    extra topics gets the ``deny`` templates again in its own block, for the broker looks at patterns only where
    the block decided nothing; so both styles give the same verdict.

    Args:
        templates: what every client with a certificate gets.
        denied: devices to silence; their extra topics are left out.
        extra: devices with topics of their own; read as it is rendered.
        deny_roots: first levels of ``$`` topics that the operator's own rules open; see ``dollar_roots``.

    Raises:
        PolicyError: a template in which ``{device_id}`` is not alone in its level, which no pattern can say, at the
            call; an id or a rule that cannot be written, while iterating.
    """
    checked = [check_topic_rule(rule, template=True) for rule in templates]
    patterns = "".join(f"pattern {rule.access} {_pattern_topic(rule.topic)}\n" for rule in checked).encode()
    silence = _silence(checked, deny_roots)
    kept = _rule_lines([rule for rule in checked if rule.access is Access.DENY])
    silent = frozenset(denied)

    def pieces(region: Region) -> Iterator[bytes]:
        if patterns:
            yield patterns
        yield from _blocks(region, ((name, ()) for name in sorted(silent)), silence)
        yield from _blocks(region, ((name, own) for name, own in extra if own and name not in silent), kept)

    return Region("pattern", checked, pieces)


def replace_region(
    current: bytes | OperatorText, region: Iterable[bytes], *, version: Version = "2.0"
) -> Iterator[bytes]:
    """Yield a whole ACL file: the operator's text as it was and a new region in the place of the old one.

    Every piece is checked as ``verify_region`` does while it passes. An error while iterating means that what was
    yielded so far must not be used. The one octet that may be added to the operator's text is a final newline.

    Raises:
        PolicyError: damaged markers, or lines of the operator's that break the broker: at the call. A region that is
            not what was meant: while iterating.
    """
    operator = read_operator_text(current) if isinstance(current, bytes) else current
    check_operator_text(operator, version=version)
    return _replace(operator, region)


def _replace(operator: OperatorText, region: Iterable[bytes]) -> Iterator[bytes]:
    check = _RegionCheck.of(region)
    yield operator.before
    if operator.before and not operator.before.endswith(b"\n"):
        yield b"\n"
    yield _BEGIN_LINE
    for piece in region:
        check.feed(piece)
        yield piece
    check.finish(users=region.users if isinstance(region, Region) else None)
    yield _END_LINE
    yield operator.after


def _rule_lines(rules: Iterable[TopicRule]) -> str:
    return "".join(f"topic {rule.access} {rule.topic}\n" for rule in rules)


def _pattern_topic(topic: str) -> str:
    levels = ["%u" if level == PLACEHOLDER else level for level in topic.split("/")]
    if any(PLACEHOLDER in level for level in levels):
        raise PolicyError(
            f"topic {topic!r} cannot be a pattern: {{device_id}} is not alone in its level",
            hint="write it as a level of its own, as in 'devices/{device_id}/#', or use the per-device style",
        )
    return "/".join(levels)


def _silence(templates: Iterable[TopicRule], deny_roots: Collection[str]) -> str:
    """The lines that take everything from a device, with the id's placeholder."""
    own = (rule.topic.partition("/")[0] for rule in templates if rule.topic.startswith("$"))
    roots = dict.fromkeys(["$SYS", *own, *sorted(deny_roots)])
    rules = [TopicRule(Access.DENY, topic) for topic in ("#", *(f"{root}/#" for root in roots))]
    return _rule_lines(check_topic_rule(rule, template=True) for rule in rules)


def _blocks(region: Region, rows: Iterable[tuple[str, Sequence[TopicRule]]], common: str) -> Iterator[bytes]:
    """One block per row, in pieces of many blocks; ``common`` are the lines that all blocks have."""
    parts = f"user {PLACEHOLDER}\n{common}".split(PLACEHOLDER)  # id.join(parts) is the whole block
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        _check_ids([name for name, _ in batch])
        blocks = [
            name.join(parts) + _own_lines(name, own) if own else name.join(parts)
            for name, own in batch
            if own or common
        ]
        region.users += len(blocks)
        if blocks:
            yield "".join(blocks).encode()


def _own_lines(name: str, rules: Sequence[TopicRule]) -> str:
    return _rule_lines(check_topic_rule(rule, template=True) for rule in rules).replace(PLACEHOLDER, name)


def _check_ids(names: list[str]) -> None:
    """Hold many ids against the grammar at once; the slow way names the one that is wrong."""
    joined = "\n".join(names) + "\n"
    if not _IDS.fullmatch(joined) or joined.count("\n") != len(names):
        for name in names:
            DeviceId(name)


# --- the check of what went in ---------------------------------------------------------------------------------


def verify_region(
    pieces: Iterable[bytes], *, style: str | None = None, templates: Sequence[TopicRule] | None = None
) -> RegionFacts:
    """Read a region strictly and compare it with what was meant.

    It must be ``pattern`` lines, then ``user`` blocks: each a device id and at least one ``topic`` line with an
    access word and a topic that Mosquitto takes. With ``style`` and ``templates`` (a ``Region`` brings its own) the
    patterns must be exactly those, and every block of the per-device style must begin with exactly the
    templates' lines for its own id, or silence the device. Pieces may be cut anywhere. Memory does not grow.

    Raises:
        PolicyError: with the line of the region and what is wrong with it.
    """
    source = pieces if isinstance(pieces, Region) else None
    check = _RegionCheck.of(pieces) if source else _RegionCheck(style, templates)
    for piece in pieces:
        check.feed(piece)
    return check.finish(users=source.users if source else None)


def check_published_acl(
    pieces: Iterable[bytes],
    *,
    style: str | None = None,
    templates: Sequence[TopicRule] | None = None,
    users: int | None = None,
    version: Version = "2.0",
) -> RegionFacts:
    """Read a whole ACL file back, in pieces: the operator's lines, the markers and the region.

    ``users`` is the number of blocks that the region must have; None when it is not known.

    Raises:
        PolicyError: what the broker would refuse or silently lose, or a region that is not what was meant.
    """
    check = _RegionCheck(style, templates)
    before, after, inside, line = _route(pieces, check.feed)
    if line is None:
        raise PolicyError("the ACL has no managed region", hint=_MARKER_HINT)
    check.first_line = inside
    check_operator_text(OperatorText(before, after, line, has_region=True), version=version)
    return check.finish(users=users)


class _RegionCheck:
    """Holds a region against one regular expression, block by whole block."""

    def __init__(self, style: str | None, templates: Sequence[TopicRule] | None) -> None:
        self.first_line = 1
        self._users = 0
        self._lines = 0
        self._carry = b""
        self._in_blocks = False
        self._head = re.compile(_head_shape(style, templates))
        self._blocks = re.compile(_block_shape(style, templates))

    @classmethod
    def of(cls, region: Iterable[bytes]) -> _RegionCheck:
        return cls(region.style, region.templates) if isinstance(region, Region) else cls(None, None)

    def feed(self, piece: bytes) -> None:
        """Check all whole blocks so far; the last one may go on in the next piece."""
        text = self._carry + piece if self._carry else piece
        cut = text.rfind(b"\nuser ") + 1
        self._carry = text[cut:]
        self._check(text[:cut])

    def finish(self, *, users: int | None = None) -> RegionFacts:
        """Check the rest, and the number of blocks."""
        self._check(self._carry)
        if not self._in_blocks and not self._head.fullmatch(b""):
            raise self._refusal(b"", "the patterns that were meant are not there")
        if users is not None and users != self._users:
            raise PolicyError(
                f"the ACL region holds {self._users} user blocks where {users} were meant",
                hint="nothing was published",
            )
        return RegionFacts(self._users, self._lines)

    def _check(self, text: bytes) -> None:
        if not text:
            return
        start = 0
        if not self._in_blocks:
            head = self._head.match(text)
            start = head.end() if head else 0
            self._in_blocks = True
            if head is None:
                raise self._refusal(text, "the patterns are not those that were meant")
        if not self._blocks.fullmatch(text, start):
            raise self._refusal(text, "this is not what was meant")
        self._users += text.count(b"\nuser ") + text.startswith(b"user ")
        self._lines += text.count(b"\n")

    def _refusal(self, text: bytes, otherwise: str) -> PolicyError:
        """Find the line with the slow, exact reader; what it takes is legal, yet not what was meant."""
        first = self.first_line + self._lines
        problems = acl_problems(text, first_line=first)
        if problems:
            return AclSyntaxError(problems, hint="nothing was published")
        line = first + text.count(b"\n", 0, self._matched(text))
        shown = text.split(b"\n")[line - first].decode("utf-8", "replace")
        return PolicyError(
            f"line {line} of the ACL region: {otherwise}: {shown[:80]!r}", hint="nothing was published"
        )

    def _matched(self, text: bytes) -> int:
        head = self._head.match(text) if self._lines == 0 else None
        blocks = self._blocks.match(text, head.end() if head else 0)
        return blocks.end() if blocks else 0


def _head_shape(style: str | None, templates: Sequence[TopicRule] | None) -> bytes:
    if templates is None:
        return rb"(?:pattern " + _ACCESS + rb" " + _TOPIC + rb"\n)*+"
    if style != "pattern":
        return b""
    return b"".join(
        b"pattern %s %s\n" % (_octets(rule.access), _octets(_pattern_topic(rule.topic))) for rule in templates
    )


def _block_shape(style: str | None, templates: Sequence[TopicRule] | None) -> bytes:
    user = rb"user (" + _ID + rb")\n"
    anything = rb"(?:" + _TOPIC_LINE + rb")"
    if templates is None:
        return rb"(?:" + user + anything + rb"++)*+"
    kept = [rule for rule in templates if style != "pattern" or rule.access is Access.DENY]
    lines = b"".join(b"topic %s %s\n" % (_octets(rule.access), _octets(rule.topic)) for rule in kept)
    common = lines.replace(re.escape(PLACEHOLDER).encode(), rb"\1")
    silent = rb"topic deny \#\n(?:topic deny \$[^\x00-\x1f\x7f%+#/]*+/\#\n)++"
    own = common + anything + (rb"*+" if common else rb"++")
    return rb"(?:" + user + rb"(?>" + silent + rb"(?=user |\Z)|" + own + rb"))*+"


def _octets(text: str) -> bytes:
    """The text as a regular expression for its octets."""
    return re.escape(text.encode())


def _route(pieces: Iterable[bytes], inside: Callable[[bytes], None]) -> tuple[bytes, bytes, int, int | None]:
    """Send what is between the markers to ``inside``, and keep the rest.

    Returns what is before, what is after, the line on which the region begins and the one below its END
    (None: there is no region).
    """
    kept: tuple[list[bytes], list[bytes]] = ([], [])
    carry, markers, line, begins, ends = b"", 0, 1, 1, None
    for piece in chain(pieces, (None,)):
        text = carry + (piece or b"")
        cut = len(text) if piece is None else text.rfind(b"\n") + 1
        text, carry = text[:cut], text[cut:]
        start = 0
        for position in _comment_starts(text):
            if match := _MARKER.match(text, position):
                is_begin = match[1].upper() == b"BEGIN"
                at = line + text.count(b"\n", 0, position)
                _check_marker(match[0], is_begin=is_begin, count=markers, line=at)
                _keep(kept, inside, markers, text[start:position])
                start, markers = min(match.end() + 1, len(text)), markers + 1
                begins, ends = (at + 1, None) if is_begin else (begins, at + 1)
        _keep(kept, inside, markers, text[start:])
        line += text.count(b"\n")
    if markers == 1:
        raise _damaged(begins - 1, "BEGIN has no END after it")
    return b"".join(kept[0]), b"".join(kept[1]), begins, ends


def _keep(
    kept: tuple[list[bytes], list[bytes]], inside: Callable[[bytes], None], markers: int, text: bytes
) -> None:
    if markers == 1:
        inside(text)
    elif text:
        kept[markers // 2].append(text)
