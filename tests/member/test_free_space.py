"""Writes are refused while the disk is nearly full, and accepted again by themselves."""

import os
from pathlib import Path

import pytest

from dualmode.member.free_space import FreeSpace


def free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def test_the_answer_follows_the_disk_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    free = 50
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, 0, 0, free, 0, 0, 0, 0, 255)))
    space = FreeSpace(tmp_path, 10, lambda: now)
    assert space.has_space()
    free = 10
    now += 0.9
    assert space.has_space()
    now += 0.1
    assert not space.has_space()
    free = 11
    now += 1
    assert space.has_space()


def test_it_reads_the_real_file_system(tmp_path: Path) -> None:
    assert FreeSpace(tmp_path, 0, lambda: 0.0).has_space()
    assert not FreeSpace(tmp_path, free_bytes(tmp_path) * 1000, lambda: 0.0).has_space()
