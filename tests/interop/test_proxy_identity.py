"""Clients' certificates at a proxy: who they are at members that know users, ours and etcd's."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from dualmode.api import authpb, etcdserverpb
from tests.interop.clusters.cluster import eventually
from tests.interop.grpc_client import Client
from tests.interop.processes import ServerFailedError
from tests.interop.servers import Certificates, Server, make_certificates, start_dualmode, start_etcd, start_proxy
from tests.interop.test_auth import Side

pytestmark = pytest.mark.interop
#: What the client's certificate of `make_certificates` says.
CN = "interop-client"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=[start_etcd, start_dualmode], ids=["etcd", "dualmode"])
def member(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """With users: root, and one as the certificate says who may touch a to b."""
    start: Callable[..., Server] = request.param
    with start(tmp_path, flags=("--bcrypt-cost=4",)) as server:
        side = Side(server)
        side.ask("", "UserAdd", name="root", password="r")
        side.ask("", "UserGrantRole", user="root", role="root")
        side.ask("", "UserAdd", name=CN, password="p w")
        side.ask("", "RoleAdd", name="own")
        own = authpb.Permission(permType=authpb.Permission.READWRITE, key=b"a", range_end=b"b")
        side.ask("", "RoleGrantPermission", name="own", perm=own)
        side.ask("", "UserGrantRole", user=CN, role="own")
        side.ask("", "AuthEnable")
        side.close()
        yield server


def start(directory: Path, member: Server, tls: Certificates, credentials: str, *flags: str) -> Server:
    file = directory / "users"
    file.write_text(credentials)
    return start_proxy(directory, member.url, tls, flags=(f"--user-credentials={file}", *flags), probe="/version")


def refused(call: Callable[..., Any], **fields: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(**fields)
    return raised.value.code(), raised.value.details()


def refusals_until_done(call: Callable[[], Any]) -> set[grpc.StatusCode]:
    """The codes it was refused with, before it was done."""
    codes: set[grpc.StatusCode] = set()

    def tried() -> bool:
        try:
            call()
        except grpc.RpcError as error:
            codes.add(error.code())
            return False
        return True

    eventually(tried, "the call is answered")
    return codes


def post(server: Server, path: str, body: Any) -> tuple[int, Any]:
    assert server.tls is not None
    split = urlsplit(server.url)
    connection = http.client.HTTPSConnection(
        split.hostname or "", split.port, timeout=10, context=server.tls.client_context()
    )
    connection.request("POST", path, json.dumps(body))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_a_certificate_is_a_user_over_every_way(tmp_path: Path, member: Server, tls: Certificates) -> None:
    with start(tmp_path, member, tls, f"{CN}:p w\n") as proxy, Client(proxy.target, tls) as client:
        assert client.Put(key=b"a1", value=b"v").header.revision == 2
        assert refused(client.Put, key=b"b1") == (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        assert post(proxy, "/v3/kv/range", {"key": "YTE="})[1]["kvs"][0]["value"] == "dg=="
        assert post(proxy, "/v3/kv/put", {"key": "YjE="})[0] in (400, 403)
        create = etcdserverpb.WatchRequest(create_request=etcdserverpb.WatchCreateRequest(key=b"a1", start_revision=1))
        outside = etcdserverpb.WatchRequest(create_request=etcdserverpb.WatchCreateRequest(key=b"b1"))
        with ExitStack() as stack:
            call = client.watch(iter([create, outside]), timeout=10)
            stack.callback(call.cancel)
            answers = [next(call) for _ in range(3)]
        assert sum(len(answer.events) for answer in answers) == 1
        assert any(answer.canceled and "permission denied" in answer.cancel_reason for answer in answers)


def test_a_member_that_forgets_its_tokens_is_asked_again(tmp_path: Path, member: Server, tls: Certificates) -> None:
    with start(tmp_path, member, tls, f"{CN}:p w\n") as proxy, Client(proxy.target, tls) as client:
        client.Put(key=b"a1", value=b"v")
        member.stop()
        member.start()
        # grpcio repeats nothing by itself: a token that is no longer good must not be seen here.
        assert refusals_until_done(lambda: client.Put(key=b"a1", value=b"w")) <= {grpc.StatusCode.UNAVAILABLE}
        assert client.Range(key=b"a1").kvs[0].value == b"w"


def test_who_is_not_in_the_file(tmp_path: Path, member: Server, tls: Certificates) -> None:
    with start(tmp_path, member, tls, "somebody:else\n") as proxy, Client(proxy.target, tls) as client:
        code, text = refused(client.Range, key=b"a1")
        assert (code, CN in text) == (grpc.StatusCode.PERMISSION_DENIED, True)
        status, answer = post(proxy, "/v3/kv/range", {"key": "YTE="})
        assert (status, CN in answer["message"]) == (403, True)
    anonymous = start(tmp_path, member, tls, "somebody:else\n", "--unknown-users=anonymous")
    with anonymous as proxy, Client(proxy.target, tls) as client:
        assert refused(client.Range, key=b"a1") == (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty")


def test_a_wrong_password_is_told_and_a_new_file_is_taken(tmp_path: Path, member: Server, tls: Certificates) -> None:
    with start(tmp_path, member, tls, f"{CN}:wrong\n") as proxy, Client(proxy.target, tls) as client:
        code, text = refused(client.Range, key=b"a1")
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert text.startswith(f"dualmode: cannot log in as '{CN}': ")
        (tmp_path / "users").write_text(f"{CN}:p w\n")
        assert refusals_until_done(lambda: client.Range(key=b"a1")) <= {grpc.StatusCode.PERMISSION_DENIED}


def test_a_certificate_of_the_proxy_that_names_a_user_is_refused(tmp_path: Path, tls: Certificates) -> None:
    flags = (f"--cert={tls.client_certificate}", f"--key={tls.client_key}", f"--cacert={tls.authority}")
    with pytest.raises(ServerFailedError) as raised:
        start_proxy(tmp_path, "https://127.0.0.1:1", flags=flags)
    assert f"names '{CN}' (its CN)" in str(raised.value)
