"""The program's record classes behave as the standard library's dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import iotonboard
import pytest
from iotonboard.record import dataclass, field


def _declare(decorator):
    class Point:
        """A record with everything that the program uses."""

        x: int
        label: str = "here"
        secret: bytes = dataclasses.field(default=b"s", repr=False)
        notes: list = dataclasses.field(default_factory=list, hash=False)

        def __post_init__(self):
            if self.x < 0:
                raise ValueError("negative")

        @property
        def double(self):
            return 2 * self.x

    Point.__qualname__ = "Point"
    return decorator(frozen=True, slots=True)(Point)


Ours, Library = _declare(dataclass), _declare(dataclasses.dataclass)


@pytest.mark.parametrize("cls", [Ours, Library])
def test_construction_and_access(cls):
    point = cls(3, secret=b"z")
    assert (point.x, point.label, point.secret, point.notes, point.double) == (3, "here", b"z", [], 6)
    assert cls(1).notes is not cls(1).notes
    assert cls.__match_args__ == ("x", "label", "secret", "notes")
    assert not hasattr(point, "__dict__")
    assert cls.__doc__ == "A record with everything that the program uses."


@pytest.mark.parametrize("cls", [Ours, Library])
def test_wrong_construction_is_refused(cls):
    with pytest.raises(TypeError):
        cls()
    with pytest.raises(TypeError):
        cls(1, wrong=2)
    with pytest.raises(ValueError, match="negative"):
        cls(-1)


def test_the_first_objects_are_like_all_later_ones():
    """The first few are filled field by field, the others by compiled code."""
    used = _declare(dataclass)
    made = [used(number, secret=b"z") for number in range(20)]
    assert [(point.x, point.label, point.secret, point.notes) for point in made] == [
        (number, "here", b"z", []) for number in range(20)
    ]
    assert made[0].notes is not made[1].notes


@pytest.mark.parametrize("before", [0, 20])
@pytest.mark.parametrize(
    ("args", "values"), [((), {}), ((1, "a", b"", [], "too many"), {}), ((1,), {"x": 1}), ((1,), {"wrong": 2})]
)
def test_wrong_arguments_are_refused_early_and_late(before, args, values):
    cls = _declare(dataclass)
    for number in range(before):
        cls(number)
    with pytest.raises(TypeError):
        cls(*args, **values)
    assert cls(1).x == 1


@pytest.mark.parametrize("cls", [Ours, Library])
def test_frozen(cls):
    point = cls(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert point.x == 1


@pytest.mark.parametrize("cls", [Ours, Library])
def test_comparison_and_text(cls):
    assert cls(1) == cls(1) != cls(2)
    assert cls(1) != (1, "here", b"s", [])
    assert repr(cls(1)) == "Point(x=1, label='here', notes=[])"
    assert dataclasses.replace(cls(1), x=5) == cls(5)
    assert dataclasses.is_dataclass(cls)
    assert copy.deepcopy(cls(4)) == cls(4)


@dataclass(frozen=True, slots=True)
class Base:
    a: int
    b: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Derived(Base):
    """Adds nothing but its name."""


@dataclass(frozen=True, slots=True)
class Wider(Base):
    c: str = field(default="c", repr=False)


@dataclass(slots=True)
class Mutable:
    count: int = 0


def test_inheritance():
    assert Derived(1, (2,)) == Derived(1, (2,)) != Base(1, (2,))
    wide = Wider(1, c="z")
    assert (wide.a, wide.b, wide.c, repr(wide)) == (1, (), "z", "Wider(a=1, b=())")


def test_hash_follows_the_values():
    assert len({Base(1), Base(1), Base(2)}) == 2


def test_records_travel_between_processes():
    for value in (Base(1, (2, 3)), Derived(4), Wider(1, (), "z")):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301


def test_one_that_is_not_frozen():
    counter = Mutable()
    counter.count += 2
    assert counter == Mutable(2)
    with pytest.raises(TypeError):
        hash(counter)


def test_every_record_class_of_the_program_is_one_of_these():
    """The library's decorator would cost each call of the program 0.8 ms per class."""
    package = Path(iotonboard.__file__).parent
    users = [
        path.name
        for path in package.rglob("*.py")
        if path.name != "record.py"
        and re.search(
            r"^\s*(from dataclasses import .*\bdataclass\b|import dataclasses)", path.read_text("utf-8"), re.MULTILINE
        )
    ]
    assert users == []
