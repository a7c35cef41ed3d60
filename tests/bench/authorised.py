"""Does: turns auth on in a member, and calls it as a user who is not root and has a role."""

from __future__ import annotations

from typing import Any, Final

from dualmode.api import authpb, etcdserverpb
from tests.interop.grpc_client import DEFAULT_TIMEOUT_SECONDS, Client
from tests.interop.servers import Server

USER: Final = "bench"
PASSWORD: Final = "on loopback only"
#: Everything from the empty key on: permissions are looked up all the same.
ALL_KEYS: Final = authpb.Permission(permType=authpb.Permission.READWRITE, key=b"\0", range_end=b"\0")


class AuthorisedClient(Client):
    """Brings a token in every call; `token` is b"" until `log_in`."""

    token: str = ""

    def log_in(self, name: str, password: str) -> str:
        """The token that the following calls bring."""
        self.token = ask(self, "Authenticate", name=name, password=password).token
        return self.token

    def call(self, method: str, request: Any, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Any:
        return self._unary[method](request, timeout=timeout_seconds, metadata=(("token", self.token),))


def ask(client: Client, method: str, **fields: Any) -> Any:
    """A call of the Auth service."""
    name = method if method in ("AuthEnable", "Authenticate") else f"Auth{method}"
    call = client.channel.unary_unary(
        f"/etcdserverpb.Auth/{method}",
        request_serializer=getattr(etcdserverpb, f"{name}Request").SerializeToString,
        response_deserializer=getattr(etcdserverpb, f"{name}Response").FromString,
    )
    return call(getattr(etcdserverpb, f"{name}Request")(**fields), timeout=DEFAULT_TIMEOUT_SECONDS)


def turn_on(server: Server) -> AuthorisedClient:
    """A member with auth on, as its ordinary user."""
    client = AuthorisedClient(server.target, server.tls)
    for name in ("root", USER):
        ask(client, "UserAdd", name=name, password=PASSWORD)
    ask(client, "UserGrantRole", user="root", role="root")
    ask(client, "RoleAdd", name="everything")
    ask(client, "RoleGrantPermission", name="everything", perm=ALL_KEYS)
    ask(client, "UserGrantRole", user=USER, role="everything")
    ask(client, "AuthEnable")
    client.log_in(USER, PASSWORD)
    return client
