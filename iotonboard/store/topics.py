"""Topic rules of single devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.model import Access, TopicRule

if TYPE_CHECKING:
    from iotonboard.store.store import Store


def extra_topics(store: Store) -> dict[str, list[TopicRule]]:
    """Topic rules of single devices, beside the templates that all get."""
    topics: dict[str, list[TopicRule]] = {}
    # Sorted by an expression: the topics are walked and not the index of all devices.
    query = (
        "SELECT d.device_id || '', t.access, t.topic FROM topic t JOIN device d ON d.id = t.device"
        " ORDER BY 1 COLLATE NOCASE, 2, 3"
    )
    for device_id, access, topic in store.rows(query):
        topics.setdefault(device_id, []).append(TopicRule(Access(access), topic))
    return topics


def device_topics(store: Store, device: int) -> list[TopicRule]:
    """Extra topic rules of one device."""
    query = "SELECT access, topic FROM topic WHERE device = ? ORDER BY access, topic"
    return [TopicRule(Access(access), topic) for access, topic in store.rows(query, (device,))]


def add_topic(store: Store, device: int, rule: TopicRule) -> None:
    """Give one device a topic rule; one that is there already stays."""
    store.execute(
        "INSERT INTO topic (device, access, topic) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (device, rule.access.value, rule.topic),
    )


def remove_topic(store: Store, device: int, rule: TopicRule) -> bool:
    """Take one of a device's own topic rules; ``True`` when it was there."""
    query = "DELETE FROM topic WHERE device = ? AND access = ? AND topic = ?"
    return store.execute(query, (device, rule.access.value, rule.topic)).rowcount > 0
