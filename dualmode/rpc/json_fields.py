"""Decides: what protobuf's JSON mapping needs to know of each message class, looked up once.

The rules are those of etcd's gateway: original field names on output (`range_end`, `ID`), these and lowerCamelCase on
input, bytes as base64, 64-bit integers as decimal strings, enums by name, defaults left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor


class Shape(IntEnum):
    """How a value stands in JSON. etcd's messages have no floats and no maps."""

    BYTES = auto()
    STRING = auto()
    BOOL = auto()
    INTEGER = auto()
    #: 64 bits: a string, because JavaScript's numbers lose some of them.
    LONG = auto()
    ENUM = auto()
    MESSAGE = auto()


_SHAPES = {
    FieldDescriptor.TYPE_BYTES: Shape.BYTES,
    FieldDescriptor.TYPE_STRING: Shape.STRING,
    FieldDescriptor.TYPE_BOOL: Shape.BOOL,
    FieldDescriptor.TYPE_INT32: Shape.INTEGER,
    FieldDescriptor.TYPE_UINT32: Shape.INTEGER,
    FieldDescriptor.TYPE_INT64: Shape.LONG,
    FieldDescriptor.TYPE_UINT64: Shape.LONG,
    FieldDescriptor.TYPE_ENUM: Shape.ENUM,
    FieldDescriptor.TYPE_MESSAGE: Shape.MESSAGE,
}

_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.TYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}


@dataclass(frozen=True, slots=True)
class JsonField:
    """One field of a message class."""

    name: str
    #: `"name":`
    prefix: str
    shape: Shape
    is_repeated: bool
    #: Set or not, whatever its value: messages, members of a oneof.
    has_presence: bool
    #: Least and greatest value of integers and enums.
    bounds: tuple[int, int]
    #: Of an enum, both ways.
    numbers: dict[str, int]
    names: dict[int, str]
    #: Of a message.
    message: Any
    #: The oneof it belongs to, or "".
    oneof: str


def _field(descriptor: Any) -> JsonField:
    kind = descriptor.type
    values = descriptor.enum_type.values if kind == FieldDescriptor.TYPE_ENUM else ()
    return JsonField(
        name=descriptor.name,
        prefix=f'"{descriptor.name}":',
        shape=_SHAPES[kind],
        is_repeated=descriptor.is_repeated,
        has_presence=descriptor.has_presence,
        bounds=_RANGES.get(kind, (0, 0)),
        numbers={value.name: value.number for value in values},
        names={value.number: value.name for value in values},
        message=descriptor.message_type,
        oneof=descriptor.containing_oneof.name if descriptor.containing_oneof is not None else "",
    )


@cache
def by_number(descriptor: Any) -> dict[int, JsonField]:
    """The fields of a message descriptor. As many entries as there are message classes."""
    return {field.number: _field(field) for field in descriptor.fields}


@cache
def by_json_name(descriptor: Any) -> dict[str, JsonField]:
    """The same by the names that are understood on input."""
    fields = by_number(descriptor)
    return {name: fields[field.number] for field in descriptor.fields for name in (field.name, field.json_name)}
