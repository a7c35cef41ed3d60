"""Decides: the keys and requests that elections and locks are made of (etcd `clientv3/concurrency`).

Everyone who wants something puts a key of their own under its name, `<name>/<lease id in hexadecimal>`, bound to their
lease. The oldest key, by create revision, has it; who comes behind waits for the key just before theirs to go. So the
line is in the store: it outlives every server, and whoever's lease ends drops out of it.
"""

from __future__ import annotations

from typing import Any, Final

from dualmode.api import etcdserverpb

#: The life of a lease that is granted for a caller who named none. Nobody but the caller keeps it alive.
SESSION_TTL_SECONDS: Final = 60

_DESCEND, _ASCEND = 2, 1
_BY_CREATE_REVISION: Final = 2
_CREATE: Final = 1


def prefix_of(name: bytes) -> bytes:
    """What the keys of an election or lock begin with."""
    return name + b"/"


def key_of(name: bytes, lease_id: int) -> bytes:
    """The key of one lease in the line."""
    return prefix_of(name) + b"%x" % lease_id


def _end_of(prefix: bytes) -> bytes:
    """The prefix ends with a slash, so there is a next one."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def has_create_revision(key: bytes, revision: int) -> Any:
    """The guard of everything that is done with a key: it is the one that was put then (0: there is none)."""
    return etcdserverpb.Compare(key=key, target=_CREATE, create_revision=revision)


def _get(key: bytes) -> Any:
    return etcdserverpb.RequestOp(request_range=etcdserverpb.RangeRequest(key=key))


def _put(key: bytes, value: bytes, lease_id: int) -> Any:
    return etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=key, value=value, lease=lease_id))


def enter(key: bytes, value: bytes, lease_id: int) -> Any:
    """Gets in line, at the end; or finds that this lease stands there already."""
    return etcdserverpb.TxnRequest(
        compare=[has_create_revision(key, 0)], success=[_put(key, value, lease_id)], failure=[_get(key)]
    )


def enter_and_look(name: bytes, key: bytes, lease_id: int) -> Any:
    """The same, and who is first."""
    request = enter(key, b"", lease_id)
    first = etcdserverpb.RequestOp(request_range=oldest(prefix_of(name)))
    request.success.append(first)
    request.failure.append(first)
    return request


def place_of(answer: Any) -> int:
    """The create revision of the own key, from the answer to `enter`."""
    if answer.succeeded:
        return int(answer.header.revision)
    return int(answer.responses[0].response_range.kvs[0].create_revision)


def replace(key: bytes, create_revision: int, value: bytes, lease_id: int) -> Any:
    """Another value for the own key, if it is still there."""
    return etcdserverpb.TxnRequest(
        compare=[has_create_revision(key, create_revision)], success=[_put(key, value, lease_id)]
    )


def leave(key: bytes, create_revision: int) -> Any:
    """Takes the own key away, if it is still there."""
    deletion = etcdserverpb.RequestOp(request_delete_range=etcdserverpb.DeleteRangeRequest(key=key))
    return etcdserverpb.TxnRequest(compare=[has_create_revision(key, create_revision)], success=[deletion])


def oldest(prefix: bytes) -> Any:
    """Who is first in line."""
    return etcdserverpb.RangeRequest(
        key=prefix, range_end=_end_of(prefix), limit=1, sort_order=_ASCEND, sort_target=_BY_CREATE_REVISION
    )


def last_before(prefix: bytes, create_revision: int) -> Any:
    """Who stands just before the key that was created at this revision."""
    return etcdserverpb.RangeRequest(
        key=prefix,
        range_end=_end_of(prefix),
        limit=1,
        sort_order=_DESCEND,
        sort_target=_BY_CREATE_REVISION,
        max_create_revision=create_revision - 1,
    )


def watch(key: bytes, start_revision: int) -> Any:
    """What happens to one key from a revision on."""
    return etcdserverpb.WatchCreateRequest(key=key, start_revision=start_revision)


def watch_line(prefix: bytes, start_revision: int) -> Any:
    """What happens to all keys of the line."""
    return etcdserverpb.WatchCreateRequest(key=prefix, range_end=_end_of(prefix), start_revision=start_revision)
