"""What a member has open, at its end."""

from pathlib import Path

from dualmode.member.opening import open_member
from dualmode.member.snapshots import places
from dualmode.storage.backend import Backend
from tests.member.conftest import BOOTSTRAP


def test_who_took_a_snapshot_closes_the_store_it_has_now(tmp_path: Path) -> None:
    opened = open_member(tmp_path, tmp_path / "wal", BOOTSTRAP)
    former = opened.store.backend
    places.incoming(tmp_path, 7).mkdir()
    opened.store.replace_backend(Backend.open(places.take(tmp_path, 7)))
    former.close()
    opened.store.begin_pass()
    opened.store.bucket_put(b"test", b"key", b"value")
    opened.store.end_pass(1, 1)
    opened.close()
    again = open_member(tmp_path, tmp_path / "wal", BOOTSTRAP)
    assert again.store.bucket_get(b"test", b"key") == b"value"
    again.close()
