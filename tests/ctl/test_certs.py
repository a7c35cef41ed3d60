"""`dualmode certs`: what it leaves in the directory, and what it refuses to touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualmode.ctl.certificates import load_pair
from dualmode.ctl.certs import main


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "certs"


def _create(directory: Path, *arguments: str) -> int:
    return main(["create", "--dir", str(directory), *arguments])


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_first_call_makes_everything(directory: Path) -> None:
    assert _create(directory, "--client-cn", "root", "--client-cn", "alice", "--hosts", "etcd.example, 10.0.0.1") == 0
    names = ["ca", "client-alice", "client-root", "peer", "proxy", "server"]
    assert sorted(_contents(directory)) == sorted(
        f"{name}{ending}" for name in names for ending in (".pem", "-key.pem")
    )
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == (0o600 if "-key" in path.name else 0o644)
    pair = load_pair((directory / "server.pem").read_bytes(), (directory / "server-key.pem").read_bytes())
    authority = load_pair((directory / "ca.pem").read_bytes(), (directory / "ca-key.pem").read_bytes())
    pair.certificate.verify_directly_issued_by(authority.certificate)


def test_a_second_call_adds_and_changes_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _create(directory)
    before = _contents(directory)
    capsys.readouterr()
    assert _create(directory, "--client-cn", "bob") == 0
    after = _contents(directory)
    assert after.keys() - before.keys() == {"client-bob.pem", "client-bob-key.pem"}
    assert {name: after[name] for name in before} == before
    assert capsys.readouterr().out.splitlines()[0] == f"kept {directory / 'ca.pem'}"


def test_force_makes_all_anew(directory: Path) -> None:
    _create(directory)
    before = _contents(directory)
    assert _create(directory, "--force") == 0
    after = _contents(directory)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("missing", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "client-root-key.pem"])
def test_half_a_pair_is_left_alone(missing: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _create(directory)
    (directory / missing).unlink()
    before = _contents(directory)
    assert _create(directory) == 1
    assert _contents(directory) == before
    assert f"{missing} is not" in capsys.readouterr().err


def test_certificates_without_their_authority_are_left_alone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _create(directory)
    for name in ("ca.pem", "ca-key.pem"):
        (directory / name).unlink()
    before = _contents(directory)
    assert _create(directory) == 1
    assert _contents(directory) == before
    assert "server.pem is there, its authority is not" in capsys.readouterr().err


def test_what_is_there_must_be_a_pair(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _create(directory)
    (directory / "ca.pem").write_text("nonsense")
    assert _create(directory, "--client-cn", "bob") == 1
    assert "ca.pem with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hosts", " , "],
        ["--client-cn", "../../etc/passwd"],
        ["--client-cn", ""],
        ["--client-cn", "a" * 65],
        ["--days", "0"],
        ["--nonsense"],
    ],
)
def test_arguments_that_are_refused_make_nothing(arguments: list[str], directory: Path) -> None:
    assert _create(directory, *arguments) == 2
    assert not directory.exists()


def test_a_host_that_is_none(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _create(directory, "--hosts", "b\u00fccher.example") == 1
    assert "Error: " in capsys.readouterr().err


def test_a_directory_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert _create(tmp_path / "file" / "certs") == 1
    assert "Not a directory" in capsys.readouterr().err


def test_show(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _create(directory)
    bundle = directory / "bundle.pem"
    bundle.write_bytes((directory / "server.pem").read_bytes() + (directory / "ca.pem").read_bytes())
    capsys.readouterr()
    assert main(["show", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "subject:   CN=server,O=dualmode development"
    assert "hosts:     localhost, 127.0.0.1, ::1" in lines
    assert lines[lines.index("") + 1] == "subject:   CN=dualmode development CA,O=dualmode development"


def test_show_what_is_no_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("nonsense")
    assert main(["show", str(tmp_path / "file")]) == 1
    assert "holds no PEM certificate" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "missing")]) == 2


def test_help() -> None:
    assert main(["--help"]) == 0
