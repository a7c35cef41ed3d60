"""Decides: a message as JSON. Several times quicker than protobuf's own json_format, which it is tested against."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from dualmode.rpc.json_fields import JsonField, Shape, by_number

Encode = Callable[[JsonField, Any], str]


def _enum(field: JsonField, value: int) -> str:
    """A number that has no name stays a number."""
    name = field.names.get(value)
    return str(value) if name is None else f'"{name}"'


_ENCODERS: dict[Shape, Encode] = {
    Shape.BYTES: lambda _, value: '"' + b2a_base64(value, newline=False).decode("ascii") + '"',
    Shape.STRING: lambda _, value: encode_basestring(value),
    Shape.BOOL: lambda _, value: "true" if value else "false",
    Shape.INTEGER: lambda _, value: str(value),
    Shape.LONG: lambda _, value: f'"{value}"',
    Shape.ENUM: _enum,
    Shape.MESSAGE: lambda _, value: encode(value),
}


#: One field: its name, `"name":`, the encoder of a value, repeated, with presence, and the field itself.
_Step = tuple[str, str, Encode, bool, bool, JsonField]


@cache
def _steps(descriptor: Any) -> tuple[_Step, ...]:
    """What to do with each field of a message class."""
    return tuple(
        (field.name, field.prefix, _ENCODERS[field.shape], field.is_repeated, field.has_presence, field)
        for field in by_number(descriptor).values()
    )


def encode(message: Any) -> str:
    """Compact JSON of a message (proto3). Depth is that of the message, which a protobuf parser has bounded.

    Asking for each field costs a quarter of `ListFields`, which makes an object for each.
    """
    parts = []
    for name, prefix, encode_value, is_repeated, has_presence, field in _steps(message.DESCRIPTOR):
        if has_presence:
            if message.HasField(name):
                parts.append(prefix + encode_value(field, getattr(message, name)))
            continue
        value = getattr(message, name)
        if is_repeated:
            if value:
                parts.append(prefix + "[" + ",".join([encode_value(field, element) for element in value]) + "]")
        elif value:
            parts.append(prefix + encode_value(field, value))
    return "{" + ",".join(parts) + "}"
