"""Topic names and filters: what MQTT, Mosquitto and this program's own rules allow in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError, quoted
from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PLACEHOLDER = "{device_id}"
MAX_TOPIC_OCTETS = 65535  # MQTT 3.1.1 section 1.5.3: a string's length has two octets
MAX_SEPARATORS = 200  # Mosquitto's TOPIC_HIERARCHY_LIMIT: one '/' more is a syntax error to it
_LONGEST_ID = "x" * 256  # octets: of 64 letters
_FORM_HINT = "write ACCESS:TOPIC with read, write, readwrite or deny, as in 'read:plant/config'"
_AN_ID = "([^+#%]{1,64})"
_NEW_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SCOPE_HINT = "name the topics one by one, or put the wildcard below a level that is {device_id}"


def filter_problem(topic: str) -> str:
    """Say why Mosquitto refuses ``topic`` as a topic filter; empty when it takes it.

    The rules of MQTT 3.1.1 section 4.7.1 and of ``mosquitto_sub_topic_check``: a wildcard is a whole
    level, ``#`` is the last one, at most 65535 octets and 200 separators.
    """
    if not topic:
        return "the topic is empty"
    for level in topic.split("/"):
        if level not in {"+", "#"} and ("+" in level or "#" in level):
            return "a wildcard must be a whole level"
    if "#" in topic[:-1]:
        return "'#' must be the last level"
    if len(topic.encode("utf-8", "surrogateescape")) > MAX_TOPIC_OCTETS:
        return f"the topic is longer than {MAX_TOPIC_OCTETS} octets"
    if topic.count("/") > MAX_SEPARATORS:
        return f"the topic has more than {MAX_SEPARATORS} separators"
    return ""


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic name matches a topic filter (MQTT 3.1.1 sections 4.7.1 and 4.7.2).

    A filter that does not begin with ``$`` never matches a topic that does, and the other way round. An empty
    filter or topic matches nothing, and so does a topic name that holds a wildcard: nobody can publish to it.
    """
    if not topic_filter or not topic or "+" in topic or "#" in topic:
        return False
    if (topic_filter[0] == "$") != (topic[0] == "$"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True  # also the parent: 'a/#' matches 'a'
        if position == len(given) or (level not in {"+", given[position]}):
            return False
    return len(wanted) == len(given)


def parse_topic_rule(text: str, *, template: bool = False) -> TopicRule:
    """Parse ``access:topic``, as it is typed on the command line and kept in the configuration.

    ``{device_id}`` stands for the device's id. With ``template`` false, the form for one device's own
    extra topics, a wildcard is allowed only below a level that is ``{device_id}`` alone: such rules come
    from device lists and line scripts, where ``devices/+/#`` opens every other device's topics and looks
    like a slip of the pen. Templates are written once, by the officer, and may hold wildcards anywhere
    that MQTT allows them.

    Raises:
        PolicyError: not in that form, or a topic that ``check_topic_rule`` refuses.
    """
    access, separator, topic = text.partition(":")
    if not separator or access not in set(Access):
        raise PolicyError(f"{quoted(text)} is not a topic rule", hint=_FORM_HINT)
    return check_topic_rule(TopicRule(Access(access), topic), template=template)


def check_topic_rule(rule: TopicRule | str, *, template: bool = False) -> TopicRule:
    """Return ``rule``, parsed if it was text, if it means one line of an ACL and no more.

    Refused are: control and other unprintable characters, ``%`` (Mosquitto expands ``%u`` and ``%c``),
    blanks at the ends (Mosquitto drops them, so the rule would mean another topic), placeholders other
    than ``{device_id}``, and what ``filter_problem`` names, for the longest id. ``template`` is that of
    ``parse_topic_rule``.

    Raises:
        PolicyError: one of these; the message quotes the topic.
    """
    if isinstance(rule, str):
        return parse_topic_rule(rule, template=template)
    topic = rule.topic
    if problem := _text_problem(topic) or filter_problem(topic.replace(PLACEHOLDER, _LONGEST_ID)):
        raise PolicyError(f"topic {quoted(topic)}: {problem}", hint=_FORM_HINT)
    if not template and not _is_scoped(topic):
        raise PolicyError(f"topic {quoted(topic)}: a wildcard would reach other devices' topics", hint=_SCOPE_HINT)
    return rule


def pattern_topic(topic: str) -> str:
    """Write a template's topic for a ``pattern`` line: ``{device_id}`` as ``%u``.

    Raises:
        PolicyError: ``{device_id}`` is not alone in its level, where Mosquitto 2.1 does not expand it.
    """
    levels = ["%u" if level == PLACEHOLDER else level for level in topic.split("/")]
    if any(PLACEHOLDER in level for level in levels):
        raise PolicyError(
            f"topic {quoted(topic)} cannot be a pattern: {PLACEHOLDER} is not alone in its level",
            hint="give it a level of its own, as in 'devices/{device_id}/#', or use the per-device style",
        )
    return "/".join(levels)


@dataclass(frozen=True, slots=True)
class Others:
    """The other devices of a plant, and the topics that the ``templates`` give to each of them."""

    templates: tuple[TopicRule, ...]
    is_device: Callable[[str], bool] = lambda _: False

    def refuse_reaching(self, rules: Iterable[TopicRule], device_id: str = "") -> None:
        """Refuse rules that reach these topics, as ``reached_by`` says.

        Raises:
            PolicyError: one does; names it.
        """
        for rule in rules:
            if self.reached_by(rule, device_id):
                raise PolicyError(
                    f"topic rule '{rule.access}:{rule.topic[:80]}' reaches the topics of other devices",
                    hint="name a narrower topic, with {device_id} in it; where that is meant, say so with --yes",
                )

    def reached_by(self, rule: TopicRule, device_id: str = "") -> bool:
        """Say whether a rule lets its device at topics of another one.

        ``device_id`` is whose rule it is; empty for a template, which every device gets. A rule that denies reaches
        nothing, and ``#`` everything. Where no template tells devices apart, a wildcard without ``{device_id}`` reaches
        what all of them publish. A level in the place of an id is one below a level that the template names, as in
        ``devices/press-2``; as the first level it is one where a device is called so.
        """
        if rule.access is Access.DENY:
            return False
        mine = (rule.topic.replace(PLACEHOLDER, device_id) if device_id else rule.topic).split("/")
        if mine[0] == "#":
            return True
        granted = [one.topic for one in self.templates if one.access is not Access.DENY and PLACEHOLDER in one.topic]
        if not granted and PLACEHOLDER not in rule.topic:
            return not {"+", "#"}.isdisjoint(mine)
        return any(self._is_met(mine, topic.split("/"), device_id) for topic in granted)

    def _is_met(self, mine: Sequence[str], theirs: Sequence[str], device_id: str) -> bool:
        """Say whether a topic matches both a filter of one device's and a template, filled in for another device."""
        if mine[0] == "+" and theirs[0].startswith("$"):
            return False
        for depth, (one, other) in enumerate(zip_longest(mine, theirs)):
            if "#" in {one, other}:
                return True  # also the parent: 'a/#' matches 'a'
            if one is None or other is None or not self._levels_meet(one, other, device_id, is_first=depth == 0):
                return False
        return True

    def _levels_meet(self, mine: str, theirs: str, device_id: str, *, is_first: bool) -> bool:
        if "+" in {mine, theirs}:
            return True
        if PLACEHOLDER not in theirs:
            return mine == theirs
        if PLACEHOLDER in mine:
            return mine != theirs and _ends_meet(mine, theirs)  # else two ids, which differ
        shape = _AN_ID.join(map(re.escape, theirs.split(PLACEHOLDER)))
        found = re.fullmatch(shape, mine)
        ids = set(found.groups()) if found else set()
        return any(one.lower() != device_id.lower() and self._is_ones(one, is_first=is_first) for one in ids)

    def _is_ones(self, name: str, *, is_first: bool) -> bool:
        """Say whether a level is a device's id, or may become a new one's."""
        return (not is_first and _NEW_ID.fullmatch(name) is not None) or self.is_device(name)


def _ends_meet(mine: str, theirs: str) -> bool:
    """Say whether one level can be two forms, each of another id."""
    ends = [(level.split(PLACEHOLDER)[0], level.split(PLACEHOLDER)[-1][::-1]) for level in (mine, theirs)]
    return all(one.startswith(other) or other.startswith(one) for one, other in zip(*ends, strict=True))


def _text_problem(topic: str) -> str:
    """Say why the text itself cannot stand in a line of an ACL; empty when it can."""
    if not topic.isprintable():
        return "control and other unprintable characters are refused"
    if topic != topic.strip(" "):
        return "a blank at either end is refused, for Mosquitto drops it"
    if "%" in topic:
        return "'%' is refused, for Mosquitto expands %u and %c; write {device_id}"
    if not {"{", "}"}.isdisjoint(topic.replace(PLACEHOLDER, "")):
        return "the only placeholder is {device_id}"
    return ""


def _is_scoped(topic: str) -> bool:
    """Say whether every wildcard stands below a level that is the device's id alone."""
    levels = topic.split("/")
    for level in levels:
        if level == PLACEHOLDER:
            return True
        if level in {"+", "#"}:
            return False
    return True
