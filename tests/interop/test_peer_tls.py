"""TLS between members, ours and etcd's: certificates of one authority, names that are allowed or not, automatic TLS."""

from pathlib import Path

import pytest

from tests.interop.clusters.cluster import Cluster, eventually
from tests.interop.servers import Certificates, make_certificates

pytestmark = pytest.mark.interop


def mutual(certificates: Certificates, *more: str) -> tuple[str, ...]:
    """A member serves and calls with one certificate, which the others want to see."""
    return (
        f"--peer-cert-file={certificates.peer_certificate}",
        f"--peer-key-file={certificates.peer_key}",
        f"--peer-trusted-ca-file={certificates.authority}",
        "--peer-client-cert-auth",
        *more,
    )


def works(cluster: Cluster) -> None:
    cluster.wait_for_leader()
    for name in cluster.members:
        cluster.ctl("put", "by", name, via=name)
    cluster.wait_until_equal()


def test_members_with_certificates_of_one_authority(tmp_path: Path) -> None:
    flags = mutual(make_certificates(tmp_path / "certs"), "--peer-cert-allowed-cn=member")
    with Cluster(tmp_path, flags, is_peer_tls=True) as cluster:
        cluster.start_new({"d1": "dualmode", "d2": "dualmode", "e1": "etcd"})
        works(cluster)
        for leader in ("e1", "d1"):
            cluster.move_leader(leader)
            works(cluster)


def test_automatic_tls(tmp_path: Path) -> None:
    with Cluster(tmp_path, ("--peer-auto-tls",), is_peer_tls=True) as cluster:
        cluster.start_new({"d1": "dualmode", "d2": "dualmode", "e1": "etcd"})
        works(cluster)


@pytest.mark.parametrize(
    ("rule", "refusal"),
    [
        ("--peer-cert-allowed-cn=somebody", "the client's common name 'member' is not allowed"),
        ("--peer-cert-allowed-hostname=other.example", "has none of the allowed hostnames"),
    ],
)
def test_a_name_that_is_not_allowed_is_not_heard(tmp_path: Path, rule: str, refusal: str) -> None:
    """The third member does not let the others speak to it, so it never hears who leads."""
    certificates = make_certificates(tmp_path / "certs")
    with Cluster(tmp_path, mutual(certificates), is_peer_tls=True) as cluster:
        cluster.start_new({"d1": "dualmode", "d2": "dualmode"})
        cluster.wait_for_leader()
        member = cluster.add("d3", "dualmode", flags=(rule, "--log-level=debug"), wait=False)
        eventually(lambda: refusal in log_of(member.running.log_path), "it says whom it refuses")
        assert "ready to serve" not in log_of(member.running.log_path)


def log_of(path: Path) -> str:
    return path.read_text(errors="replace")
