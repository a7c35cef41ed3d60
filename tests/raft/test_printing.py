"""Printed forms that transcripts do not reach: quoting, and the rarer parts of messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.raft import (
    APPEND_THREAD,
    APPLY_THREAD,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Message,
    MessageType,
    ReadState,
    Ready,
    Snapshot,
    printing,
)
from dualmode.raft.progress import Inflights, Progress
from dualmode.raft.tracker import Configuration
from tests.raft.recording import entry, snapshot_of


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", '""'),
        (b'say "hi" \\', '"say \\"hi\\" \\\\"'),
        (b"\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        (b"\x00\x1f\x7f", '"\\x00\\x1f\\x7f"'),
        ("gr\u00fc\u00df \u4e16 \U0001f600".encode(), '"gr\u00fc\u00df \u4e16 \U0001f600"'),
        ("\u0080\u200b\u2028\U000e0001".encode(), '"\\u0080\\u200b\\u2028\\U000e0001"'),
        (b"\xff\xe2\x82x\xed\xa0\x80", '"\\xff\\xe2\\x82x\\xed\\xa0\\x80"'),
        ("\ufffd".encode(), '"\ufffd"'),
    ],
)
def test_quoting(data: bytes, text: str) -> None:
    assert printing.quoted(data) == text


@given(st.binary(max_size=50))
def test_quoted_data_is_one_printable_line(data: bytes) -> None:
    text = printing.quoted(data)
    assert text.isprintable()
    assert text[0] == text[-1] == '"'


def test_ids_are_hexadecimal_in_messages_and_configurations() -> None:
    message = Message(MessageType.VOTE, to=0x1F, sender=0xAB, term=20, vote=0xAB, index=11, log_term=10)
    assert printing.message(message) == "ab->1f MsgVote Term:20 Log:10/11 Vote:171"
    configuration = Configuration({10, 2}, {31}, {32}, {31}, True)
    assert printing.configuration(configuration) == "voters=(2 a)&&(1f) learners=(20) learners_next=(1f) autoleave"
    assert printing.message(Message(MessageType.HUP)) == "None->None MsgHup Term:0 Log:0/0"


def test_nested_responses_are_indented() -> None:
    response = Message(MessageType.STORAGE_APPLY_RESPONSE, to=1, sender=APPLY_THREAD, entries=[entry(1), entry(2)])
    outer = Message(MessageType.STORAGE_APPEND, to=APPEND_THREAD, sender=1, snapshot=snapshot_of((1,)))
    outer.responses = [response]
    assert printing.message(outer) == (
        "1->AppendThread MsgStorageAppend Term:0 Log:0/0\n"
        "  Snapshot: Index:10 Term:1 "
        "ConfState:Voters:[1] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false Responses:[\n"
        "  ApplyThread->1 MsgStorageApplyResp Term:0 Log:0/0 Entries:[\n"
        '    1/1 EntryNormal ""\n'
        '    1/2 EntryNormal ""\n'
        "  ]\n"
        "]"
    )
    assert "Snapshot" not in printing.message(Message(MessageType.SNAPSHOT, snapshot=Snapshot()))


def test_a_change_with_context() -> None:
    change = ConfChangeV2(
        (ConfChangeSingle(ConfChangeType.ADD_LEARNER_NODE, 17), ConfChangeSingle(ConfChangeType.UPDATE_NODE, 2)),
        ConfChangeTransition.JOINT_IMPLICIT,
        b"why\n",
    )
    assert printing.change(change) == (
        "transition:ConfChangeTransitionJointImplicit changes:{type:ConfChangeAddLearnerNode node_id:17} "
        'changes:{type:ConfChangeUpdateNode node_id:2} context:"why\\n"'
    )
    assert printing.change_letters(change) == "l17 u2"


def test_every_part_of_a_progress() -> None:
    progress = Progress(6, Inflights(1), match=5, learner=True)
    progress.become_replicate()
    progress.sent_entries(1, 3)
    assert printing.progress(progress) == "StateReplicate match=5 next=7 learner paused inactive inflight=1[full]"
    progress.become_snapshot(9)
    assert printing.progress(progress) == "StateSnapshot match=5 next=10 learner paused pendingSnap=9 inactive"


def test_read_states_in_a_ready() -> None:
    ready = Ready(read_states=[ReadState(11, b"foo"), ReadState(12, b"")])
    assert ready.describe() == "Ready MustSync=false:\nReadStates [{11 [102 111 111]} {12 []}]\n"
    assert Ready(must_sync=True).describe() == "<empty Ready>"
