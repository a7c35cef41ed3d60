"""Decides: what an etcd of one thread would answer: keys in a dictionary, one request after the other.

Written apart from the store, from the meaning of the requests that the simulated clients send, so that a mistake in
the store is not made here too.
"""

from __future__ import annotations

from typing import Any

from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb

#: (key, whether it was deleted, serialised KeyValue)
Change = tuple[bytes, bool, bytes]


class Model:
    """The state at one revision. `execute` answers without header and tells what was changed."""

    def __init__(self) -> None:
        self.revision = 1
        self.keys: dict[bytes, Any] = {}

    def copy(self) -> Model:
        """Records are never changed in place, so they may be shared."""
        other = Model()
        other.revision, other.keys = self.revision, dict(self.keys)
        return other

    def keys_of_lease(self, lease_id: int) -> list[bytes]:
        """In ascending order."""
        return sorted(key for key, kv in self.keys.items() if kv.lease == lease_id)

    def execute(self, request: Any) -> tuple[Any, list[Change]]:
        """Does one request. When it changed something the revision is one up."""
        changes: list[Change] = []
        response = self._do(request, self.revision + 1, changes)
        self.revision += bool(changes)
        return response, changes

    def delete_keys(self, keys: list[bytes]) -> list[Change]:
        """At one revision: what the end of a lease does."""
        changes: list[Change] = []
        for key in keys:
            self._delete(key, self.revision + 1, changes)
        self.revision += bool(changes)
        return changes

    def _do(self, request: Any, revision: int, changes: list[Change]) -> Any:
        if isinstance(request, pb.PutRequest):
            return self._put(request, revision, changes)
        if isinstance(request, pb.DeleteRangeRequest):
            found = self._select(request)
            for kv in found:
                self._delete(kv.key, revision, changes)
            return pb.DeleteRangeResponse(deleted=len(found), prev_kvs=found if request.prev_kv else [])
        if isinstance(request, pb.RangeRequest):
            found = self._select(request)
            kept = found[: request.limit] if request.limit else found
            return pb.RangeResponse(kvs=kept, count=len(found), more=len(kept) < len(found))
        assert isinstance(request, pb.TxnRequest), request
        return self._txn(request, revision, changes)

    def _select(self, request: Any) -> list[Any]:
        if not request.range_end:
            return [self.keys[request.key]] if request.key in self.keys else []
        return [self.keys[key] for key in sorted(self.keys) if request.key <= key < request.range_end]

    def _put(self, request: Any, revision: int, changes: list[Change]) -> Any:
        before = self.keys.get(request.key)
        kv = mvccpb.KeyValue(
            key=request.key,
            create_revision=revision if before is None else before.create_revision,
            mod_revision=revision,
            version=1 if before is None else before.version + 1,
            value=request.value,
            lease=request.lease,
        )
        self.keys[request.key] = kv
        changes.append((request.key, False, kv.SerializeToString()))
        return pb.PutResponse(prev_kv=before if request.prev_kv else None)

    def _delete(self, key: bytes, revision: int, changes: list[Change]) -> None:
        del self.keys[key]
        changes.append((key, True, mvccpb.KeyValue(key=key, mod_revision=revision).SerializeToString()))

    def _txn(self, request: Any, revision: int, changes: list[Change]) -> Any:
        holds = all(self._holds(compare) for compare in request.compare)
        response = pb.TxnResponse(succeeded=holds)
        for part in request.success if holds else request.failure:
            kind = part.WhichOneof("request")
            answer = self._do(getattr(part, kind), revision, changes)
            getattr(response.responses.add(), kind.replace("request", "response")).CopyFrom(answer)
        return response

    def _holds(self, compare: Any) -> bool:
        kv = self.keys.get(compare.key)
        if compare.target == pb.Compare.VALUE:
            return kv is not None and kv.value == compare.value
        assert compare.target == pb.Compare.MOD, compare
        return (0 if kv is None else kv.mod_revision) == compare.mod_revision


def without_headers(response: Any) -> Any:
    """A copy that can be compared with the model's."""
    copy = type(response)()
    copy.CopyFrom(response)
    copy.ClearField("header")
    if isinstance(copy, pb.TxnResponse):
        for part in copy.responses:
            getattr(part, part.WhichOneof("response")).ClearField("header")
    return copy
