"""Decides: a message from JSON, strict in values and lenient in names (unknown fields are ignored, as etcd does)."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from dualmode import limits
from dualmode.errors import Code, RpcError
from dualmode.rpc.json_fields import JsonField, Shape, by_json_name

_SPACE = " \t\r\n"
#: What Go says of JSON that stops in the middle, and so etcd.
_CUT = "unexpected EOF"
_URL_SAFE = str.maketrans("-_", "+/")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = JSONDecoder(parse_constant=_refuse_constant)


class JsonError(ValueError):
    """The JSON does not fit. `path` grows from the inside out."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def within(self, step: str) -> JsonError:
        """The same fault seen from one level further out."""
        return JsonError(self.text, f"{step}.{self.path}" if self.path else step)


def decode(message_class: Any, text: bytes) -> Any:
    """The message; no text at all is an empty one, and what follows the first value is not looked at (etcd reads no
    further either). Raises `RpcError` INVALID_ARGUMENT, which names the field."""
    try:
        decoded = text.decode("utf-8").lstrip(_SPACE)
        value = _JSON.raw_decode(decoded)[0] if decoded else {}
        return message_class(**_message(message_class.DESCRIPTOR, value, limits.JSON_DEPTH))
    except JsonError as fault:
        where = f"{fault.path}: " if fault.path else ""
        raise RpcError(Code.INVALID_ARGUMENT, f"json: {where}{fault.text}") from None
    except RecursionError:
        raise RpcError(Code.INVALID_ARGUMENT, "json: nested too deeply") from None
    except JSONDecodeError as error:
        is_cut = error.pos >= len(error.doc) or error.msg.startswith("Unterminated")
        raise RpcError(Code.INVALID_ARGUMENT, _CUT if is_cut else f"json: {error}") from None
    except ValueError as error:
        raise RpcError(Code.INVALID_ARGUMENT, f"json: {error}") from None


def _message(descriptor: Any, value: Any, depth: int) -> dict[str, Any]:
    """What the message's constructor takes."""
    if not isinstance(value, dict):
        raise JsonError(f"an object is expected, not {_kind(value)}")
    if depth <= 0:
        raise JsonError("nested too deeply")
    fields = by_json_name(descriptor)
    arguments: dict[str, Any] = {}
    oneofs: set[str] = set()
    for name, content in value.items():
        field = fields.get(name)
        if field is None or content is None:
            continue
        if field.name in arguments or field.oneof in oneofs:
            raise JsonError(f"{name} where {field.oneof or field.name} has been given already")
        if field.oneof:
            oneofs.add(field.oneof)
        try:
            arguments[field.name] = _content(field, content, depth - 1)
        except JsonError as fault:
            raise fault.within(name) from None
    return arguments


def _content(field: JsonField, content: Any, depth: int) -> Any:
    decode_value = _DECODERS[field.shape]
    if not field.is_repeated:
        return decode_value(field, content, depth)
    if not isinstance(content, list):
        raise JsonError(f"an array is expected, not {_kind(content)}")
    return [decode_value(field, element, depth - 1) for element in content]


def _bytes(_: JsonField, value: Any, __: int) -> bytes:
    """Both alphabets, with padding or without."""
    if not isinstance(value, str):
        raise JsonError(f"a base64 string is expected, not {_kind(value)}")
    if "-" in value or "_" in value:
        value = value.translate(_URL_SAFE)
    if len(value) % 4:
        value += "=" * (-len(value) % 4)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise JsonError(f"illegal base64 data ({error})") from None


def _string(_: JsonField, value: Any, __: int) -> str:
    if not isinstance(value, str):
        raise JsonError(f"a string is expected, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise JsonError("half a surrogate pair") from None
    return value


def _bool(_: JsonField, value: Any, __: int) -> bool:
    if not isinstance(value, bool):
        raise JsonError(f"true or false is expected, not {_kind(value)}")
    return value


def _integer(field: JsonField, value: Any, _: int) -> int:
    """A number or its text; 1.0 and 1e3 are whole numbers too."""
    number = value
    if isinstance(value, str):
        try:
            number = _JSON.decode(value)
        except ValueError:
            number = None
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        raise JsonError(f"a whole number is expected, not {_kind(value)}")
    least, greatest = field.bounds
    if not least <= number <= greatest:
        raise JsonError(f"the number is not within {least} and {greatest}")
    return number


def _enum(field: JsonField, value: Any, depth: int) -> int:
    """By name or by number."""
    if not isinstance(value, str):
        return _integer(field, value, depth)
    number = field.numbers.get(value)
    if number is None:
        raise JsonError(f"none of {', '.join(field.numbers)}")
    return number


def _kind(value: Any) -> str:
    """What JSON calls it; a string is not repeated to the client, it may be long."""
    kinds = {dict: "an object", list: "an array", str: "this string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "this number")


_DECODERS: dict[Shape, Callable[[JsonField, Any, int], Any]] = {
    Shape.BYTES: _bytes,
    Shape.STRING: _string,
    Shape.BOOL: _bool,
    Shape.INTEGER: _integer,
    Shape.LONG: _integer,
    Shape.ENUM: _enum,
    Shape.MESSAGE: lambda field, value, depth: _message(field.message, value, depth),
}
