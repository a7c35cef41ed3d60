"""Decides: protobuf packages as Python objects whose attributes are their messages and enums."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from dualmode.api.descriptors import POOL


class Namespace:
    """One protobuf package. `etcdserverpb.PutRequest` is a message class; `etcdserverpb.AlarmType` an IntEnum;
    `etcdserverpb.NOSPACE` the value of an enum that stands outside any message, as generated code has it.

    Messages are resolved when first asked for, which keeps start-up quick. They are Any: their fields exist at run
    time only.
    """

    def __init__(self, package: str, *files: str) -> None:
        self._package = package
        for file in files:
            for name, enum in POOL.FindFileByName(file).enum_types_by_name.items():
                values = {value.name: value.number for value in enum.values}
                setattr(self, name, IntEnum(name, values))
                self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet; afterwards it is a plain attribute."""
        try:
            descriptor = POOL.FindMessageTypeByName(f"{self._package}.{name}")
        except KeyError:
            raise AttributeError(f"{self._package} has no {name}") from None
        message_class = GetMessageClass(descriptor)
        setattr(self, name, message_class)
        return message_class

    def __repr__(self) -> str:
        return f"<protobuf package {self._package}>"
