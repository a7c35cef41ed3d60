"""Decides: records without their values, many at a time.

Taking one record apart in Python costs a microsecond; a range may have thousands. So they are handed to protobuf as one
message of a type that knows no values: to it they are unknown fields, and it drops all of them in C.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass


def _message_class() -> Any:
    """`mvccpb.KeyValue` without field 5, many of them as field 2: where RangeResponse has them."""
    file = descriptor_pb2.FileDescriptorProto(name="dualmode/keys_only.proto", package="dualmode", syntax="proto3")
    record = file.message_type.add(name="Record")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, name in ((1, "key"), (2, "create_revision"), (3, "mod_revision"), (4, "version"), (6, "lease")):
        kind = kinds.TYPE_BYTES if number == 1 else kinds.TYPE_INT64
        record.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    records = file.message_type.add(name="Records")
    records.field.add(
        name="kvs", number=2, type=kinds.TYPE_MESSAGE, type_name=".dualmode.Record", label=kinds.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("dualmode.Records"))


_RECORDS: Final = _message_class()


def without_values(fields: Iterable[bytes]) -> bytes:
    """The elements of `kvs` (tag, length, record; in pieces, however cut) as they are without their values. The records
    are ours: whole, and in order."""
    records = _RECORDS.FromString(b"".join(fields))
    records.DiscardUnknownFields()
    return bytes(records.SerializeToString())
