"""Topic rules of single devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from iotonboard.store.store import Store

_DEVICE = "(SELECT id FROM device WHERE device_id = ?)"


def extra_topics(store: Store) -> dict[str, list[TopicRule]]:
    """Topic rules of single devices, beside the templates that all get."""
    topics: dict[str, list[TopicRule]] = {}
    # Sorted by an expression: the topics are walked and not the index of all devices.
    query = (
        "SELECT d.device_id || '', t.access, t.topic FROM topic t JOIN device d ON d.id = t.device"
        " ORDER BY 1 COLLATE NOCASE, 2, 3"
    )
    for device_id, rule in store.each(lambda device_id, *row: (device_id, topic_rule(*row)), query):
        topics.setdefault(device_id, []).append(rule)
    return topics


def device_topics(store: Store, device_id: str) -> list[TopicRule]:
    """Extra topic rules of one device."""
    query = f"SELECT access, topic FROM topic WHERE device = {_DEVICE} ORDER BY access, topic"
    return store.records(topic_rule, query, (device_id,))


def topic_rule(access: str, topic: str) -> TopicRule:
    """A rule as its row has it."""
    return TopicRule(Access(access), topic)


def add_topic(store: Store, device_id: str, rule: TopicRule) -> None:
    """Give one device a topic rule; one that is there already stays."""
    statement = f"INSERT INTO topic (device, access, topic) VALUES ({_DEVICE}, ?, ?) ON CONFLICT DO NOTHING"
    store.execute(statement, (device_id, rule.access.value, rule.topic))


def remove_topic(store: Store, device_id: str, rule: TopicRule) -> bool:
    """Take one of a device's own topic rules; ``True`` when it was there."""
    statement = f"DELETE FROM topic WHERE device = {_DEVICE} AND access = ? AND topic = ?"
    return store.execute(statement, (device_id, rule.access.value, rule.topic)).rowcount > 0
