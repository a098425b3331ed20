"""``dataclass`` as in the standard library, at a tenth of its cost when a module is imported.

The library's decorator compiles seven methods for each frozen class: 0.8 ms, and fifty classes are loaded for
every device of a shell loop. Here the methods are shared by all classes, and ``__init__`` is compiled when a
class is used often. Frozen classes compare, hash, print, pickle and work with ``dataclasses.replace`` as usual.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type], type]:
        """Make a record class; it always has slots."""
        if not slots:
            raise TypeError("a record class has slots")
        return lambda cls: _make(cls, frozen=frozen)


__all__ = ["dataclass", "field"]


_FIELD_TYPE = vars(dataclasses)["_FIELD"]


def _make(cls: type, *, frozen: bool) -> type:
    """Build the class anew with slots, as the library does: slots cannot be added to a class that exists."""
    namespace = dict(cls.__dict__)
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    fields = dict(getattr(cls, "__dataclass_fields__", {}))
    inherited = set(fields)
    for name, annotation in namespace.get("__annotations__", {}).items():
        given = namespace.pop(name, MISSING)
        one: Any = given if isinstance(given, dataclasses.Field) else field(default=given)
        one.name, one.type = name, annotation
        one._field_type = _FIELD_TYPE  # noqa: SLF001 - dataclasses.replace reads it
        fields[name] = one
    namespace["__dataclass_fields__"] = fields
    namespace["__match_args__"] = tuple(fields)
    namespace["__slots__"] = tuple(name for name in fields if name not in inherited)
    namespace["__init__"] = _first_init
    for name, method in (_SHARED | _FROZEN if frozen else _SHARED).items():
        namespace.setdefault(name, method)
    if not frozen:
        namespace["__hash__"] = None
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__
    return made


_FEW = 8  # objects that are filled field by field before it pays to compile
_made: dict[Any, int] = {}


def _first_init(self: Any, *args: Any, **values: Any) -> None:
    """Fill the first objects of a class field by field; compile the class's own ``__init__`` for more."""
    owner = next(cls for cls in type(self).__mro__ if cls.__dict__.get("__init__") is _first_init)
    _made[owner] = count = _made.get(owner, 0) + 1
    if count > _FEW or not _fill(self, owner, args, values):
        init = _compile_init(owner)
        owner.__init__ = init  # type: ignore[misc]
        init(self, *args, **values)


def _fill(self: Any, owner: Any, args: tuple[Any, ...], values: dict[str, Any]) -> bool:
    """Set all fields; ``False`` when the arguments do not fit, and the compiled ``__init__`` has to say how."""
    fields = owner.__dataclass_fields__
    given = dict(zip(fields, args, strict=False))
    if len(given) != len(args) or not values.keys().isdisjoint(given) or not values.keys() <= fields.keys():
        return False
    given |= values
    for name, one in fields.items():
        if name not in given:
            if one.default is MISSING and one.default_factory is MISSING:
                return False
            given[name] = one.default if one.default is not MISSING else one.default_factory()
    for name in fields:
        getattr(owner, name).__set__(self, given[name])
    if hasattr(owner, "__post_init__"):
        self.__post_init__()
    return True


def _compile_init(owner: Any) -> Any:
    scope: dict[str, Any] = {}
    parameters, body = ["self"], []
    for name, one in owner.__dataclass_fields__.items():
        scope[f"_set_{name}"] = getattr(owner, name).__set__
        value = name
        if one.default is not MISSING:
            scope[f"_default_{name}"] = one.default
            parameters.append(f"{name}=_default_{name}")
        elif one.default_factory is not MISSING:
            scope[f"_make_{name}"] = one.default_factory
            scope["_absent"] = MISSING
            parameters.append(f"{name}=_absent")
            value = f"_make_{name}() if {name} is _absent else {name}"
        else:
            parameters.append(name)
        body.append(f"    _set_{name}(self, {value})")
    if hasattr(owner, "__post_init__"):
        body.append("    self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or "    pass")
    exec(text, scope)  # noqa: S102 - names of our own fields, as the library's decorator does
    scope["__init__"].__qualname__ = f"{owner.__qualname__}.__init__"
    return scope["__init__"]


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = [f"{one.name}={getattr(self, one.name)!r}" for one in self.__dataclass_fields__.values() if one.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), _values(self)


def _refuse_setattr(_self: Any, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delattr(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED = {"__eq__": _eq, "__repr__": _repr, "__reduce__": _reduce}
_FROZEN = {"__hash__": _hash, "__setattr__": _refuse_setattr, "__delattr__": _refuse_delattr}
