"""Decides: what etcd 3.4.23 was seen to send, as its leader 77d30ea154280a1c speaks to the learner 76e8d99ba7e21dd7."""

LEADER = 0x77D30EA154280A1C
LEARNER = 0x76E8D99BA7E21DD7

#: Without its length, as a post has it.
HEARTBEAT = bytes.fromhex(
    "0808 10d7bb88bfbab3b6f476 189c94a0a195d4c3e977 2002 2800 3000 4004 4a0a12080a0228001000 1800 5000 5800"
)
#: What a stream is kept alive with.
LINK_HEARTBEAT = bytes.fromhex("0808 1000 1800 2000 2800 3000 4000 4a0a12080a0228001000 1800 5000 5800")
#: The data of a put of "foo" (its request id stands for the one that was seen), and the entry and the unit around it.
PUT = bytes.fromhex("220b0a03") + b"foo" + bytes.fromhex("1204") + b"bar1" + bytes.fromhex("a2060a08e2f6c9d3a1c5f7b202")
ENTRY = bytes.fromhex("0800 1002 1807 221a") + PUT
APPENDED = (
    bytes.fromhex("01 0000000000000001") + len(ENTRY).to_bytes(8, "big") + ENTRY + bytes.fromhex("0000000000000007")
)
