"""The messages: built from what the .proto files say, apart from everybody else's, quick to load."""

import subprocess
import sys

import pytest

from dualmode import api
from dualmode.api import etcdserverpb, mvccpb, raftpb
from dualmode.api.descriptors import POOL
from tests.api.compile_protos import DESCRIPTORS, compile_protos


def test_the_descriptor_set_is_what_the_protos_say() -> None:
    assert DESCRIPTORS.read_bytes() == compile_protos(), "run `make protos`"


SECOND_SET = """
import sys
from google.protobuf import descriptor_pool, message_factory
def messages_of_others():
    from dualmode.api import descriptors
    pool = descriptor_pool.Default()
    for file in descriptors._split(descriptors._PATH.read_bytes()):
        pool.AddSerializedFile(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("etcdserverpb.PutRequest"))
def messages_of_ours():
    from dualmode.api import etcdserverpb
    return etcdserverpb.PutRequest
order = [messages_of_others, messages_of_ours] if sys.argv[1] == "theirs" else [messages_of_ours, messages_of_others]
one, other = [messages() for messages in order]
assert one is not other
assert other.FromString(one(key=b"k", lease=-1).SerializeToString()).lease == -1
"""


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_another_set_of_the_same_names_may_live_in_the_default_pool(first: str) -> None:
    subprocess.run([sys.executable, "-c", SECOND_SET, first], check=True)


def test_enums_outside_messages_are_ints_by_both_spellings() -> None:
    assert etcdserverpb.AlarmType.NOSPACE == etcdserverpb.NOSPACE == 1
    assert raftpb.MessageType.MsgPreVote == raftpb.MsgPreVote == 17
    assert raftpb.ConfChangeType.ConfChangeAddLearnerNode == 3


def test_enums_inside_messages_hang_on_the_class() -> None:
    assert etcdserverpb.Compare.GREATER == 1
    assert etcdserverpb.RangeRequest.DESCEND == 2
    assert mvccpb.Event.DELETE == 1


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="etcdserverpb has no PutRequset"):
        _ = etcdserverpb.PutRequset


def test_every_namespace_finds_a_message_of_its_own() -> None:
    for namespace, message in [
        (api.authpb, "Permission"),
        (api.etcdserverpb, "InternalRaftRequest"),
        (api.healthpb, "HealthCheckRequest"),
        (api.leasepb, "LeaseInternalRequest"),
        (api.membershippb, "Attributes"),
        (api.mvccpb, "KeyValue"),
        (api.raftpb, "Message"),
        (api.reflectionpb, "ServerReflectionRequest"),
        (api.reflectionpb_v1alpha, "ServerReflectionRequest"),
        (api.snappb, "snapshot"),
        (api.v3electionpb, "LeaderKey"),
        (api.v3lockpb, "LockRequest"),
        (api.walpb, "Record"),
    ]:
        assert getattr(namespace, message)().SerializeToString() == b""


def test_a_heartbeat_of_a_real_member() -> None:
    """Captured from etcd 3.4.23: all scalars are written, zeros too."""
    wire = bytes.fromhex(
        "0808 10d7bb88bfbab3b6f476 189c94a0a195d4c3e977 2002 2800 3000 4004 4a0a12080a02280010001800 5000 5800"
    )
    message = raftpb.Message.FromString(wire)
    assert message.type == raftpb.MsgHeartbeat
    assert message.to == 0x76E8D99BA7E21DD7
    assert message.commit == 4
    assert message.SerializeToString() == wire


def test_a_put_in_the_log_of_a_real_member() -> None:
    wire = bytes.fromhex("220b0a03") + b"foo" + bytes.fromhex("1204") + b"bar1" + bytes.fromhex("a206020807")
    request = etcdserverpb.InternalRaftRequest.FromString(wire)
    assert (request.put.key, request.put.value, request.header.ID) == (b"foo", b"bar1", 7)
    assert request.SerializeToString() == wire


def test_the_services_clients_look_for() -> None:
    methods = {
        f"{service.full_name}/{method.name}"
        for file in ("etcdserverpb/rpc.proto", "v3electionpb/v3election.proto", "v3lockpb/v3lock.proto")
        for service in POOL.FindFileByName(file).services_by_name.values()
        for method in service.methods
    }
    assert len(methods) == 49
    assert {
        "etcdserverpb.KV/RangeStream",
        "etcdserverpb.Auth/AuthStatus",
        "etcdserverpb.Maintenance/Downgrade",
    } < methods
