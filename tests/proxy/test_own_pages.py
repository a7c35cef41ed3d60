"""The pages that a proxy answers itself."""

from pathlib import Path

import httpx
import pytest

from tests.interop.servers import Server, start_proxy


@pytest.mark.interop
def test_health_and_metrics_of_a_proxy(tmp_path: Path, etcd: Server) -> None:
    with start_proxy(tmp_path, etcd.url) as proxy:
        health = httpx.get(f"{proxy.url}/proxy/health")
        assert (health.status_code, health.json()) == (200, {"health": "true", "reason": ""})
        metrics = httpx.get(f"{proxy.url}/proxy/metrics").text
        assert "dualmode_proxy_connected 1\n" in metrics
        assert "etcd_server_has_leader" not in metrics
        assert "etcd_server_has_leader 1\n" in httpx.get(f"{proxy.url}/metrics").text


@pytest.mark.interop
def test_health_of_a_proxy_without_endpoints(tmp_path: Path) -> None:
    with start_proxy(tmp_path, "http://127.0.0.1:1", probe="/proxy/metrics") as proxy:
        health = httpx.get(f"{proxy.url}/proxy/health")
        assert (health.status_code, health.json()["health"]) == (503, "false")
