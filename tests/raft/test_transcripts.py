"""Replays every transcript: the project's own, and the shared ones where they lie beside the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.raft import transcripts
from tests.raft.language.cases import read_cases

OWN = Path(__file__).parent / "transcripts_own"
SHARED = Path(__file__).parents[3] / "shared" / "raft-transcripts"

#: How many cases the shared files have, as their description states.
SHARED_CASES = {
    "interaction/async_storage_writes": 44,
    "interaction/campaign": 4,
    "interaction/campaign_learner_must_vote": 12,
    "interaction/checkquorum": 15,
    "interaction/confchange_disable_validation": 9,
    "interaction/confchange_v1_add_single": 6,
    "interaction/confchange_v1_remove_leader": 21,
    "interaction/confchange_v2_add_double_auto": 19,
    "interaction/confchange_v2_add_double_implicit": 6,
    "interaction/confchange_v2_add_single_auto": 6,
    "interaction/confchange_v2_add_single_explicit": 11,
    "interaction/forget_leader": 29,
    "interaction/forget_leader_read_only_lease_based": 7,
    "interaction/lagging_commit": 17,
    "interaction/prevote": 16,
    "interaction/probe_and_replicate": 74,
    "interaction/single_node": 4,
    "interaction/snapshot_succeed_via_app_resp": 18,
    "quorum/joint_commit": 50,
    "quorum/majority_commit": 16,
    "quorum/majority_vote": 22,
    "confchange/joint_autoleave": 4,
    "confchange/joint_idempotency": 3,
    "confchange/joint_learners_next": 3,
    "confchange/simple_idempotency": 11,
    "confchange/simple_promote_demote": 7,
    "confchange/simple_safety": 11,
    "confchange/update": 3,
    "confchange/zero": 1,
}


def _files() -> Iterator[Path]:
    for folder in (OWN, SHARED):
        if folder.exists():
            yield from transcripts.transcript_files(folder)


@pytest.mark.parametrize("path", list(_files()), ids=lambda path: f"{path.parts[-3]}/{path.parent.name}/{path.stem}")
def test_replay(path: Path) -> None:
    assert transcripts.first_difference(path) is None


def test_every_case_of_the_shared_transcripts_is_read() -> None:
    counts = {
        f"{path.parent.name}/{path.stem}": len(read_cases(transcripts.read_text(path)))
        for path in transcripts.transcript_files(SHARED)
    }
    assert counts == (SHARED_CASES if SHARED.exists() else {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("not a transcript")
    (tmp_path / "right.txt").write_text("vote cfg=(1) votes=(y)\n----\nVoteWon\n")
    return tmp_path


def test_runner_counts_what_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transcripts.main([str(folder)]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "vote cfg=(1) votes=(y)\n----\nVoteLost\n",
            "wrong.txt:1: vote: output line 1: expected 'VoteLost', got 'VoteWon'",
        ),
        ("\n\nsimple\nv1\n----\nnothing\n", "wrong.txt:3: simple: output line 1: expected 'nothing', got 'voters=(1)'"),
        ("campaign 1\n----\nok\n", "wrong.txt:1: campaign: TranscriptError: there is no node 1"),
        ("vote =1\n----\nok\n", "wrong.txt: line 1: empty key in 'vote =1'"),
        ("add-nodes 1 read-only=lease-based\n----\nok\n", "wrong.txt:1: add-nodes: ValueError: lease-based reads"),
    ],
)
def test_runner_says_where_a_file_first_differs(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (folder / "wrong.txt").write_text(text)
    assert transcripts.main([str(folder)]) == 1
    output = capsys.readouterr().out
    assert complaint in output
    assert output.endswith("1 passed, 1 failed\n")


def test_rewriting_fills_in_outputs_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "new.txt"
    path.write_text("# why\n\nvote cfg=(1) votes=(n)\n----\n\n# and\nvote\n----\nwrong\n")
    assert transcripts.main(["--rewrite", str(folder)]) == 0
    assert path.read_text() == "# why\n\nvote cfg=(1) votes=(n)\n----\nVoteLost\n\n# and\nvote\n----\nVoteWon\n"


def test_runner_explains_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert transcripts.main([]) == 2
    assert transcripts.main(["--all", "folder"]) == 2
    assert "usage" in capsys.readouterr().err
