"""Decides: random work for Maintenance, Cluster, Election and Lock.

Ids that every server has for itself are drawn as placeholders, which a run replaces for each side. Locks and elections
come as a group that ends with nobody holding anything, so no call ever waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from dualmode.api import etcdserverpb, v3electionpb, v3lockpb
from tests.differential.operation import Operation

#: Placeholders for the id of the only member, and of the learner that was added last.
SELF_ID: Final = 0x5E1F
LEARNER_ID: Final = 0x1EA8
PLACEHOLDERS: Final = (SELF_ID, LEARNER_ID)
ALARM_MEMBERS: Final = (0, 7, 2**64 - 1)
#: Nobody listens there.
LEARNER_URL: Final = "http://127.0.0.1:9"
BAD_PEER_URLS: Final = ((), ("",), ("nonsense",), ("http://127.0.0.1",), ("http://127.0.0.1:9/path",), ("ftp://a:1",))
NAMES: Final = (b"lock", b"election", b"n/", b"")

Requests = list[tuple[str, Any]]


class DrawServices:
    """Gives methods and requests; who calls is decided elsewhere. `lease_ids` are named by the client, since keys of
    locks and elections contain them."""

    def __init__(self, random: Random, lease_ids: Sequence[int], with_member_changes: bool) -> None:
        self._random = random
        self._lease_ids = lease_ids
        #: Weight, who may be drawn for it ("any" or "root"), what.
        self.kinds: tuple[tuple[int, str, Callable[[], Requests]], ...] = (
            (3, "any", lambda: [("Status", etcdserverpb.StatusRequest())]),
            (2, "any", lambda: [("Alarm", self._ask_alarms())]),
            (2, "any", lambda: [("Hash", etcdserverpb.HashRequest())]),
            (1, "any", lambda: [("Defragment", etcdserverpb.DefragmentRequest())]),
            (1, "any", lambda: [("Snapshot", etcdserverpb.SnapshotRequest())]),
            (2, "any", lambda: [("MoveLeader", etcdserverpb.MoveLeaderRequest(targetID=self._member_id()))]),
            (2, "any", lambda: [("Downgrade", self._downgrade())]),
            (3, "any", lambda: [("MemberList", etcdserverpb.MemberListRequest(linearizable=random.random() < 0.5))]),
            (4 * with_member_changes, "any", self._refused_change),
            (1 * with_member_changes, "root", self._learner),
            (5, "root", self._lock),
            (5, "root", self._election),
        )

    def operations(self, caller: Callable[[], str], root: str) -> list[Operation]:
        (kind,) = self._random.choices(self.kinds, [weight for weight, _, _ in self.kinds])
        _, who, draw = kind
        user = root if who == "root" else caller()
        return [Operation(method, request, user=user) for method, request in draw()]

    def alarm_group(self, between: list[Operation]) -> list[Operation]:
        """An alarm is raised, work goes on, the alarm is put down. Only while auth is off: an alarm takes the auth
        checks away in 3.5."""
        kind = self._random.choice((0, 1, 1, 1, 2, 2, 2))
        member = self._random.choice(ALARM_MEMBERS)

        def alarm(action: int) -> Operation:
            return Operation("Alarm", etcdserverpb.AlarmRequest(action=action, memberID=member, alarm=kind))

        looks = [Operation("Alarm", self._ask_alarms()), Operation("Status", etcdserverpb.StatusRequest())]
        again = [alarm(1)] if self._random.random() < 0.2 else []
        return [alarm(1), *again, *looks, *between, alarm(2), alarm(2), *looks]

    def _ask_alarms(self) -> Any:
        return etcdserverpb.AlarmRequest(
            action=0, memberID=self._random.choice(ALARM_MEMBERS), alarm=self._random.choice((0, 1, 2))
        )

    def _member_id(self) -> int:
        return self._random.choice((0, 1, SELF_ID, 2**64 - 1))

    def _downgrade(self) -> Any:
        """Targets that are wrong for a cluster of either version."""
        version = self._random.choice(("", "x", "3", "3.a", "1.2.3.4", "2.0", "2.0.0", "4.1", "9.9.9"))
        return etcdserverpb.DowngradeRequest(action=self._random.choice((0, 0, 1, 1, 2, 3)), version=version)

    def _refused_change(self) -> Requests:
        urls = self._random.choice(BAD_PEER_URLS)
        unknown = self._random.choice((0, 1, 2**64 - 1))
        return [
            self._random.choice(
                (
                    ("MemberAdd", etcdserverpb.MemberAddRequest(peerURLs=urls, isLearner=self._random.random() < 0.5)),
                    ("MemberRemove", etcdserverpb.MemberRemoveRequest(ID=unknown)),
                    ("MemberUpdate", etcdserverpb.MemberUpdateRequest(ID=unknown, peerURLs=[LEARNER_URL])),
                    ("MemberUpdate", etcdserverpb.MemberUpdateRequest(ID=unknown, peerURLs=urls)),
                    ("MemberPromote", etcdserverpb.MemberPromoteRequest(ID=unknown)),
                    ("MemberPromote", etcdserverpb.MemberPromoteRequest(ID=SELF_ID)),
                )
            )
        ]

    def _learner(self) -> Requests:
        """One joins in name, and leaves: a learner has no vote, so the only member goes on alone."""
        add = etcdserverpb.MemberAddRequest(peerURLs=[LEARNER_URL], isLearner=True)
        return [
            ("MemberAdd", add),
            ("MemberList", etcdserverpb.MemberListRequest(linearizable=True)),
            ("MemberPromote", etcdserverpb.MemberPromoteRequest(ID=LEARNER_ID)),
            ("MoveLeader", etcdserverpb.MoveLeaderRequest(targetID=LEARNER_ID)),
            ("MemberRemove", etcdserverpb.MemberRemoveRequest(ID=LEARNER_ID)),
            ("MemberRemove", etcdserverpb.MemberRemoveRequest(ID=LEARNER_ID)),
            ("MemberPromote", etcdserverpb.MemberPromoteRequest(ID=LEARNER_ID)),
        ]

    def _lock(self) -> Requests:
        name, lease = self._random.choice(NAMES), self._random.choice(self._lease_ids)
        key = name + b"/" + f"{lease:x}".encode()
        lock = v3lockpb.LockRequest(name=name, lease=lease)
        requests: Requests = [("Lock", lock)]
        if self._random.random() < 0.3:
            requests.append(("Lock", lock))
        requests.append(("Range", etcdserverpb.RangeRequest(key=name + b"/", range_end=name + b"0")))
        if self._random.random() < 0.1:
            requests.append(("Unlock", v3lockpb.UnlockRequest(key=self._random.choice((b"", b"no such key")))))
        return [*requests, ("Unlock", v3lockpb.UnlockRequest(key=key)), ("Unlock", v3lockpb.UnlockRequest(key=key))]

    def _election(self) -> Requests:
        name, lease = self._random.choice(NAMES), self._random.choice(self._lease_ids)
        key = name + b"/" + f"{lease:x}".encode()
        value = self._random.choice((b"", b"x", b"y" * 100))
        leader = v3electionpb.LeaderKey(name=name, key=key, rev=LEADER_REVISION, lease=lease)
        wrong = v3electionpb.LeaderKey(name=name, key=key, rev=1, lease=lease)
        ask = ("Leader", v3electionpb.LeaderRequest(name=name))
        middle: Requests = [
            ask,
            ("Observe", v3electionpb.LeaderRequest(name=name)),
            ("Proclaim", v3electionpb.ProclaimRequest(leader=leader, value=b"new")),
            ("Proclaim", v3electionpb.ProclaimRequest(leader=wrong, value=b"new")),
            ("Proclaim", v3electionpb.ProclaimRequest(value=b"new")),
            ("Campaign", v3electionpb.CampaignRequest(name=name, lease=lease, value=b"again")),
            ("Resign", v3electionpb.ResignRequest(leader=wrong)),
            ("Resign", v3electionpb.ResignRequest()),
        ]
        chosen = [step for step in middle if self._random.random() < 0.5]
        return [
            ("Campaign", v3electionpb.CampaignRequest(name=name, lease=lease, value=value)),
            *chosen,
            ("Resign", v3electionpb.ResignRequest(leader=leader)),
            ("DeleteRange", etcdserverpb.DeleteRangeRequest(key=key)),
            ask,
        ]


#: Placeholder for the revision at which the last campaign made its key.
LEADER_REVISION: Final = 0x1EADE4
