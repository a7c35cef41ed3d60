"""Writes are refused while the disk is nearly full, and accepted again by themselves."""

import os
from pathlib import Path

import pytest

from dualmode.member.free_space import FreeSpace


def free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def test_the_answer_follows_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_blocks = iter((50, 10, 11))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, 0, 0, next(free_blocks), 0, 0, 0, 0, 255)))
    space = FreeSpace(tmp_path, 10)
    answers = []
    for _ in range(3):
        space.look()
        answers.append(space.has_space)
    assert answers == [True, False, True]


def test_it_reads_the_real_file_system(tmp_path: Path) -> None:
    space = FreeSpace(tmp_path, 0)
    space.look()
    assert space.has_space
    full = FreeSpace(tmp_path, free_bytes(tmp_path) * 1000)
    full.look()
    assert not full.has_space
