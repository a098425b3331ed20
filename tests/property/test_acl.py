"""What is rendered means what was meant, for every id, topic and text of the operator's."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from iotonboard.broker.acl import Acl, AclSyntaxError, acl_problems, parse_acl
from iotonboard.broker.region import BEGIN, BEGIN_LINE, END_LINE, dollar_roots, operator_acl, stream_operator_text
from iotonboard.broker.region_check import RegionCheck
from iotonboard.broker.render import Region, render_region_pattern, render_region_per_device, replace_region
from iotonboard.broker.topics import check_topic_rule, filter_problem, topic_matches
from iotonboard.errors import PolicyError
from iotonboard.model import Access, DeviceId, TopicRule

from support.tools import missing

# Few words, so that devices and topics meet; ids that are prefixes of one another, and of topics.
IDS = ["a", "a1", "a.b", "b", "dev", "x", "Dev"]
LEVELS = ["a", "b", "x", "dev", "", "{device_id}", "+"]
ids = st.sampled_from(IDS)
access = st.sampled_from(list(Access))


def topics(levels: list[str], *, first: list[str], ends: tuple[str, ...] = ("", "/#")) -> st.SearchStrategy[str]:
    parts = st.tuples(st.sampled_from(first), st.lists(st.sampled_from(levels), max_size=3), st.sampled_from(ends))
    return parts.map(lambda part: "/".join([part[0], *part[1]]) + part[2]).filter(bool)


templates = st.lists(st.builds(TopicRule, access, topics(LEVELS, first=[*LEVELS, "$iot", "$SYS", "all"])), max_size=4)
extras = st.dictionaries(
    ids,
    st.lists(st.builds(TopicRule, access, topics(LEVELS, first=["a", "x", "{device_id}", "plant"])), max_size=3),
    max_size=3,
)
names = topics(
    ["a", "b", "x", "dev", "a1", ""], first=["a", "b", "", "x", "$iot", "$SYS", "$own", "all", "plant"], ends=("",)
)
asked = st.lists(names, min_size=5, max_size=25)


def sound(rules: list[TopicRule]) -> list[TopicRule]:
    for rule in rules:
        try:
            check_topic_rule(rule, template=True)
        except PolicyError:
            assume(False)
    return rules


def meant(name: str, denied: set[str], rules: list[TopicRule], action: str, topic: str) -> bool:
    """The rules' own meaning, without an ACL: a denied device gets nothing, a deny beats every grant."""
    if name in denied or topic.startswith("$share"):
        return False
    if topic.startswith("$SYS") and action == "write" and not topic_matches("$SYS/broker/connection/+/state", topic):
        return False
    hits = [rule.access for rule in rules if topic_matches(rule.topic.replace("{device_id}", name), topic)]
    return Access.DENY not in hits and any(hit in {Access.READWRITE, action} for hit in hits)


def replaced(text: bytes, region: Region) -> bytes:
    return b"".join(replace_region(stream_operator_text([text]), region))


def whole(operator: bytes, region: Region) -> Acl:
    return parse_acl(replaced(operator, region))


@settings(max_examples=300)
@given(templates, extras, st.sets(ids), asked)
def test_both_styles_mean_what_was_meant(rules, own, denied, questions) -> None:
    sound(rules)
    sound([rule for rules in own.values() for rule in rules])
    names = [name for name in IDS if name not in denied]
    per_device = whole(b"", render_region_per_device(names, rules, extra=own))
    pattern = whole(b"", render_region_pattern(rules, denied, own))
    for name in IDS:
        for action in ("read", "write"):
            for topic in questions:
                expected = meant(name, denied, [*rules, *own.get(name, ())], action, topic)
                assert per_device.allows(name, name, action, topic) is expected, (name, action, topic)
                assert pattern.allows(name, name, action, topic) is expected, (name, action, topic)


@given(templates, extras, st.sets(ids), st.integers(1, 60))
def test_what_is_rendered_passes_the_check_in_any_pieces(rules, own, denied, step) -> None:
    sound(rules)
    sound([rule for rules in own.values() for rule in rules])
    for region in (
        render_region_per_device(IDS, rules, extra=own, denied=denied),
        render_region_pattern(rules, denied, own),
    ):
        text = b"".join(region)
        check = RegionCheck(region.style, region.templates)
        for start in range(0, len(text), step):
            check.feed(text[start : start + step])
        check.finish(users=region.users)
        assert not [problem for problem in acl_problems(text) if problem.blocks]


@given(st.text(max_size=70) | st.sampled_from(IDS).map(lambda name: f"{name}\nuser eve\ntopic readwrite #"))
@example("a\n")
@example("A\u0130")
def test_no_id_injects_a_rule(name: str) -> None:
    rule = TopicRule(Access.READ, "own/{device_id}")
    try:
        DeviceId(name)
        good = True
    except PolicyError:
        good = False
    for region in (
        render_region_per_device([name], [rule], extra={name: (rule,)}),
        render_region_pattern([rule], [name], {}),
        render_region_pattern([], [], {name: (rule,)}),
    ):
        try:
            text = b"".join(region)
        except PolicyError:
            assert not good
            continue
        acl = parse_acl(text)
        assert set(acl.users) == {name}
        assert all(rule.topic in {f"own/{name}", "#", "$SYS/#"} for rule in acl.users[name])


@settings(max_examples=500)
@given(st.text(max_size=40) | st.text(alphabet="a/+#%u{}device_id \n\r\t\0$", max_size=25))
@example("a\nuser eve\ntopic #")
@example("{device_id}")
def test_no_topic_injects_a_rule(topic: str) -> None:
    rule = TopicRule(Access.WRITE, topic)
    try:
        text = b"".join(render_region_per_device(["d"], [], extra={"d": (rule,)}))
    except PolicyError:
        with pytest.raises(PolicyError):
            check_topic_rule(rule, template=True)
        return
    (read,) = parse_acl(text).users["d"]
    assert (read.access, read.topic) == (Access.WRITE, topic.replace("{device_id}", "d"))
    assert acl_problems(text) == []


operator_texts = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [
            b"user op\n", b"topic read #\r\n", b"pattern read x/%u\n", b"# note\n", b"\n", b"  user x\n", b"bad\n",
            b"topic deny $own/#\n", b"#", b"user", b"topic read y", b"pattern readwrite $own/#\n", b"\r\n", b"\0",
        ]
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@given(operator_texts, operator_texts)
def test_the_operators_text_is_kept_byte_for_byte(before: bytes, after: bytes) -> None:
    middle = b"# BEGIN iotonboard\nuser old\ntopic read x\n# END iotonboard\n"
    text = (before + b"\n" if before and not before.endswith(b"\n") else before) + middle + after
    kept = text[: text.index(BEGIN)]
    try:
        new = replaced(text, render_region_per_device(["a"], [TopicRule(Access.READ, "t")]))
    except PolicyError:
        return
    operator = stream_operator_text([new])
    assert (operator.before, operator.after) == (kept, after)
    assert new == kept + BEGIN_LINE + b"user a\ntopic read t\n" + END_LINE + after
    assert not [problem for problem in acl_problems(new) if problem.blocks]


@given(operator_texts)
def test_a_new_region_adds_at_most_a_newline(text: bytes) -> None:
    assume(b"iotonboard" not in text)
    try:
        new = replaced(text, render_region_per_device([], []))
    except AclSyntaxError:
        assert any(problem.blocks for problem in acl_problems(text))
        return
    end = b"" if not text or text.endswith(b"\n") else b"\n"
    assert new.startswith(text + end + BEGIN)


@given(operator_texts, st.lists(ids, unique=True), st.sets(ids))
def test_the_operators_clients_keep_their_rights(text: bytes, names: list[str], denied: set[str]) -> None:
    try:
        alone = operator_acl(stream_operator_text([text]))
    except PolicyError:
        return
    rules = [TopicRule(Access.READ, "x/{device_id}"), TopicRule(Access.WRITE, "$own/{device_id}")]
    permitted = [name for name in names if name not in denied]
    both = whole(text, render_region_per_device(permitted, rules, denied=denied, deny_roots=dollar_roots(alone)))
    clients = set(alone.users) - set(IDS)
    for client in [*clients, None]:
        for topic in ("x/op", "#x", "y", "a/b", "$own/a", "x/x"):
            for action in ("read", "write"):
                assert both.allows(client, "c", action, topic) is alone.allows(client, "c", action, topic)
    for name in denied:
        assert not any(both.allows(name, name, "read", topic) for topic in ("x/a", "y", "$own/a", f"x/{name}"))


@given(st.binary(max_size=120))
def test_any_octets_are_read_without_a_crash(text: bytes) -> None:
    problems = acl_problems(text)
    if any(problem.blocks for problem in problems):
        with pytest.raises(AclSyntaxError):
            parse_acl(text)
    else:
        parse_acl(text)


# --- the same questions to Mosquitto's own library ----------------------------------------------------------------

any_filter = st.text(alphabet="ab/+#$", max_size=9)
any_topic = st.text(alphabet="ab/$", min_size=1, max_size=9)


@pytest.fixture(scope="module")
def libmosquitto() -> ctypes.CDLL:
    name = ctypes.util.find_library("mosquitto")
    if name is None:
        missing("libmosquitto is not installed (package libmosquitto1 on Debian)")
    return ctypes.CDLL(name)


@settings(max_examples=3000)
@given(topic_filter=any_filter, topic=any_topic)
def test_topics_match_as_in_mosquitto(libmosquitto: ctypes.CDLL, topic_filter: str, topic: str) -> None:
    assert bool(filter_problem(topic_filter)) is (
        not topic_filter or libmosquitto.mosquitto_sub_topic_check(topic_filter.encode()) != 0
    )
    assume(not filter_problem(topic_filter))
    result = ctypes.c_bool()
    libmosquitto.mosquitto_topic_matches_sub(topic_filter.encode(), topic.encode(), ctypes.byref(result))
    assert topic_matches(topic_filter, topic) is result.value
