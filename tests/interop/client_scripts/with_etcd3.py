"""Runs in an environment with etcd3 (python-etcd3) only: what the client offers, against the server at HOST PORT."""

import queue
import sys

import etcd3


def main(host: str, port: int) -> None:
    client = etcd3.client(host=host, port=port, timeout=10)
    keys(client)
    watches(client)
    leases(client)
    transactions(client)
    locks(client)
    maintenance(client)
    client.close()


def keys(client: etcd3.Etcd3Client) -> None:
    client.put("k/a", "1")
    client.put("k/b", "2")
    value, kv = client.get("k/a")
    assert (value, kv.key, kv.version) == (b"1", b"k/a", 1)
    assert client.get("missing") == (None, None)
    assert [kv.key for _, kv in client.get_prefix("k/", sort_order="descend")] == [b"k/b", b"k/a"]
    assert client.put_if_not_exists("k/c", "3")
    assert not client.put_if_not_exists("k/c", "4")
    assert client.replace("k/c", "3", "5")
    assert client.delete("k/a")
    assert not client.delete("k/a")
    assert client.delete_prefix("k/").deleted == 2
    print("put, get, get_prefix, put_if_not_exists, replace, delete, delete_prefix")


def watches(client: etcd3.Etcd3Client) -> None:
    arrived: queue.Queue = queue.Queue()
    watch_id = client.add_watch_prefix_callback("w/", arrived.put)
    client.put("w/1", "a")
    client.delete("w/1")
    events = []
    while len(events) < 2:
        events += arrived.get(timeout=10).events
    assert [type(event).__name__ for event in events] == ["PutEvent", "DeleteEvent"]
    client.cancel_watch(watch_id)
    print("watch: a put and a delete, cancel")


def leases(client: etcd3.Etcd3Client) -> None:
    lease = client.lease(60)
    client.put("leased", "x", lease=lease)
    assert client.get("leased")[1].lease_id == lease.id
    assert lease.remaining_ttl in range(50, 61)
    assert list(lease.keys) == [b"leased"]
    assert lease.refresh()[0].TTL == 60
    lease.revoke()
    assert client.get("leased") == (None, None)
    print("lease: grant, put, remaining_ttl, keys, refresh, revoke")


def transactions(client: etcd3.Etcd3Client) -> None:
    tx = client.transactions
    done, _ = client.transaction(compare=[tx.version("t") == 0], success=[tx.put("t", "1")], failure=[tx.get("t")])
    assert done
    done, answers = client.transaction(
        compare=[tx.value("t") == "2"], success=[tx.put("t", "3")], failure=[tx.get("t"), tx.delete("t")]
    )
    assert not done
    assert answers[0][0][0] == b"1"
    print("transaction: both branches")


def locks(client: etcd3.Etcd3Client) -> None:
    with client.lock("lock", ttl=30) as lock:
        assert lock.is_acquired()
        assert not client.lock("lock", ttl=30).acquire(timeout=0.5)
    other = client.lock("lock", ttl=30)
    assert other.acquire(timeout=5)
    other.release()
    print("lock: held, waited for, released")


def maintenance(client: etcd3.Etcd3Client) -> None:
    status = client.status()
    assert status.version.startswith("3."), status.version
    assert status.leader is not None
    assert [member.name for member in client.members]
    assert list(client.list_alarms()) == []
    assert client.hash()
    client.defragment()
    client.put("c", "1")
    client.compact(client.get("c")[1].mod_revision)
    with open("/dev/null", "wb") as file:
        client.snapshot(file)
    print(f"status {status.version}, members, list_alarms, hash, defragment, compact, snapshot")


def as_user(host: str, port: str, name: str, password: str, *files: str) -> None:
    """Who may touch what begins with `own/`, and nothing else. `files`: authority, certificate, key."""
    tls = dict(zip(("ca_cert", "cert_cert", "cert_key"), files, strict=True))
    client = etcd3.client(host=host, port=int(port), user=name, password=password, timeout=10, **tls)
    client.put("own/a", "1")
    assert client.get("own/a")[0] == b"1"
    for refused in (lambda: client.get("other"), lambda: client.put("other", "1")):
        try:
            refused()
        except Exception as error:
            if "permission denied" not in str(error):
                raise
        else:
            raise AssertionError("permission was not denied")
    client.close()
    print(f"as {name}: own keys, and denied others")


if len(sys.argv) > 3:
    as_user(*sys.argv[1:])
else:
    main(sys.argv[1], int(sys.argv[2]))
print("all held")
