"""Configuration changes as bytes: ours, and those of protobuf's own encoder."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from dualmode.raft import (
    ChangeDecodeError,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Entry,
    EntryType,
    decode_change,
)

_IDS = st.integers(0, 2**64 - 1)
_TYPES = st.sampled_from(ConfChangeType)
_CONTEXTS = st.binary(max_size=200)
_OLD = st.builds(ConfChange, _TYPES, _IDS, _CONTEXTS, _IDS)
_NEW = st.builds(
    ConfChangeV2,
    st.lists(st.builds(ConfChangeSingle, _TYPES, _IDS), max_size=4).map(tuple),
    st.sampled_from(ConfChangeTransition),
    _CONTEXTS,
)


def _messages() -> tuple[Any, Any]:
    """The two messages, made by protobuf from the field numbers of raftpb."""
    file = descriptor_pb2.FileDescriptorProto(name="changes.proto", package="t", syntax="proto2")
    uint64, octets, enum, nested = 4, 12, 13, 11
    layouts = {
        "Old": [(1, "id", uint64), (2, "type", enum), (3, "node_id", uint64), (4, "context", octets)],
        "Single": [(1, "type", enum), (2, "node_id", uint64)],
        "New": [(1, "transition", enum), (2, "changes", nested), (3, "context", octets)],
    }
    for name, fields in layouts.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            repeated = field == "changes"
            added = message.field.add(number=number, name=field, type=kind, label=3 if repeated else 1)
            if repeated:
                added.type_name = ".t.Single"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return tuple(message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}")) for name in ("Old", "New"))


_OldMessage, _NewMessage = _messages()


@given(_OLD)
def test_the_old_form_is_that_of_protobuf(change: ConfChange) -> None:
    context = change.context or None
    message = _OldMessage(id=change.id, type=change.type, node_id=change.node_id, context=context)
    assert change.encode() == message.SerializeToString()
    assert decode_change(change.entry()) == change
    assert change.as_v2().changes == (ConfChangeSingle(change.type, change.node_id),)


@given(_NEW)
def test_the_new_form_is_that_of_protobuf(change: ConfChangeV2) -> None:
    message = _NewMessage(transition=change.transition, context=change.context or None)
    for single in change.changes:
        message.changes.add(type=single.type, node_id=single.node_id)
    assert change.encode() == message.SerializeToString()
    assert decode_change(change.entry()) == change


def test_no_data_asks_to_leave_a_joint_configuration() -> None:
    assert decode_change(Entry(EntryType.CONF_CHANGE_V2)) == ConfChangeV2()


def test_unknown_fields_are_skipped() -> None:
    unknown = b"\x28\x01" + b"\x32\x03abc" + b"\x3d\x01\x02\x03\x04" + b"\x41" + bytes(8)
    assert ConfChange.decode(unknown + b"\x18\x05") == ConfChange(ConfChangeType.ADD_NODE, 5)
    assert ConfChangeV2.decode(unknown) == ConfChangeV2()


@given(st.binary(max_size=40), st.sampled_from([EntryType.CONF_CHANGE, EntryType.CONF_CHANGE_V2]))
def test_garbage_is_a_change_or_an_error(data: bytes, kind: EntryType) -> None:
    try:
        change = decode_change(Entry(kind, data=data))
    except ChangeDecodeError:
        return
    assert decode_change(change.entry()) == change


@given(_NEW, st.data())
def test_every_cut_is_a_shorter_change_or_an_error(change: ConfChangeV2, data: st.DataObject) -> None:
    encoded = change.encode()
    cut = data.draw(st.integers(0, len(encoded)))
    try:
        shorter = ConfChangeV2.decode(encoded[:cut])
    except ChangeDecodeError:
        return
    assert shorter.changes == change.changes[: len(shorter.changes)]


@pytest.mark.parametrize(
    "data", [b"\x08\x09", b"\x12\x02\x08\x09", b"\x08", b"\x08" + b"\xff" * 10, b"\x12\x05\x08", b"\x0b", b"\x3d\x01"]
)
def test_what_is_no_change(data: bytes) -> None:
    with pytest.raises(ChangeDecodeError):
        ConfChangeV2.decode(data)


def test_what_is_no_old_change() -> None:
    with pytest.raises(ChangeDecodeError):
        ConfChange.decode(b"\x10\x07")
