"""RFC 9113 section 8: HTTP in HTTP/2. Malformed requests are stream errors (section 8.1.1)."""

import pytest

from dualmode.http.interface import ErrorCode as E
from tests.http.conformance import Case, answered, connection_error, parameters, run, stream_error
from tests.http.wire import END_HEADERS, END_STREAM, HEADERS, PSEUDO, block, data, frame, headers, trailers

OPEN = headers(1, end=False)
METHOD, SCHEME, AUTHORITY, PATH = PSEUDO
BAD = stream_error(1, E.PROTOCOL_ERROR)


def raw(*pairs: tuple[bytes, bytes], end: bool = True) -> tuple[bytes]:
    """HEADERS with nothing but these."""
    return (frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), 1, block(*pairs)),)


def field(name: bytes, value: bytes) -> tuple[bytes]:
    return (headers(1, (name, value)),)


GOOD = [
    Case("8.1", "GET", raw((b":method", b"GET"), SCHEME, AUTHORITY, PATH), answered()),
    Case("8.1", "HEAD", raw((b":method", b"HEAD"), SCHEME, AUTHORITY, PATH), answered()),
    Case("8.1", "POST with a body", (OPEN, data(1, b"abc"), data(1, b"def", end=True)), answered(body=b"abcdef")),
    Case(
        "8.1",
        "POST with a body and trailers",
        (OPEN, data(1, b"abc"), trailers(1, (b"x", b"y"))),
        answered(body=b"abc"),
    ),
    Case("8.1", "pseudo-headers in another order", raw(PATH, AUTHORITY, METHOD, SCHEME), answered()),
    Case("8.2.2", "te: trailers", field(b"te", b"trailers"), answered()),
    Case("8.2.3", "cookie in pieces", (headers(1, (b"cookie", b"a=1"), (b"cookie", b"b=2")),), answered()),
    Case(
        "8.3.1",
        "OPTIONS *",
        raw((b":method", b"OPTIONS"), SCHEME, AUTHORITY, (b":path", b"*")),
        answered(),
    ),
    Case("8.3.1", "host instead of :authority", raw(METHOD, SCHEME, PATH, (b"host", b"here")), answered()),
    Case("8.3.1", "host that agrees with :authority", field(b"host", b"here"), answered()),
    Case("8.3.1", "a path with a query", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"/a?b=c%20d")), answered()),
    Case(
        "8.1.1",
        "content-length that is right",
        (headers(1, (b"content-length", b"4"), end=False), data(1, b"ab"), data(1, b"cd", end=True)),
        answered(body=b"abcd"),
    ),
    Case(
        "8.1.1",
        "content-length with trailers",
        (headers(1, (b"content-length", b"2"), end=False), data(1, b"ab"), trailers(1, (b"a", b"b"))),
        answered(body=b"ab"),
    ),
    Case("8.1.1", "content-length of 0", field(b"content-length", b"0"), answered()),
    Case("8.2.1", "value with a tab and bytes above ASCII", field(b"x", b"a\tb\xc3\xa9"), answered()),
    Case("8.2.1", "empty value", field(b"x", b""), answered()),
]

FIELDS = [
    Case("8.2.1", "upper-case name", field(b"X-Test", b"1"), BAD),
    Case("8.2.1", "name with a space", field(b"x test", b"1"), BAD),
    Case("8.2.1", "name with a colon", field(b"x:y", b"1"), BAD),
    Case("8.2.1", "empty name", field(b"", b"1"), BAD),
    Case("8.2.1", "name above ASCII", field(b"x\xc3", b"1"), BAD),
    Case("8.2.1", "NUL in a value", field(b"x", b"a\0b"), BAD),
    Case("8.2.1", "line feed in a value", field(b"x", b"a\nb: c"), BAD),
    Case("8.2.1", "carriage return in a value", field(b"x", b"a\rb"), BAD),
    Case("8.2.1", "space before a value", field(b"x", b" a"), BAD),
    Case("8.2.1", "tab after a value", field(b"x", b"a\t"), BAD),
    Case("8.2.1", "line feed in :path", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"/a\nb")), BAD),
    Case("8.2.2", "connection", field(b"connection", b"close"), BAD),
    Case("8.2.2", "keep-alive", field(b"keep-alive", b"5"), BAD),
    Case("8.2.2", "proxy-connection", field(b"proxy-connection", b"close"), BAD),
    Case("8.2.2", "transfer-encoding", field(b"transfer-encoding", b"chunked"), BAD),
    Case("8.2.2", "upgrade", field(b"upgrade", b"websocket"), BAD),
    Case("8.2.2", "te with more than trailers", field(b"te", b"trailers, deflate"), BAD),
]

PSEUDO_FIELDS = [
    Case("8.3", "unknown pseudo-header", raw(*PSEUDO, (b":test", b"1")), BAD),
    Case("8.3", "pseudo-header of responses", raw(*PSEUDO, (b":status", b"200")), BAD),
    Case("8.3", "pseudo-header in trailers", (OPEN, trailers(1, (b":path", b"/"))), BAD),
    Case("8.3", "pseudo-header after a field", raw(METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH), BAD),
    Case("8.3.1", "empty :path", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"")), BAD),
    Case("8.3.1", ":path that is no path", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"svc")), BAD),
    Case("8.3.1", "* for another method", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"*")), BAD),
    Case("8.3.1", "space in :path", raw(METHOD, SCHEME, AUTHORITY, (b":path", b"/a b")), BAD),
    Case("8.3.1", "no :method", raw(SCHEME, AUTHORITY, PATH), BAD),
    Case("8.3.1", "no :scheme", raw(METHOD, AUTHORITY, PATH), BAD),
    Case("8.3.1", "no :path", raw(METHOD, SCHEME, AUTHORITY), BAD),
    Case("8.3.1", ":method twice", raw(METHOD, METHOD, SCHEME, AUTHORITY, PATH), BAD),
    Case("8.3.1", ":scheme twice", raw(METHOD, SCHEME, SCHEME, AUTHORITY, PATH), BAD),
    Case("8.3.1", ":path twice", raw(METHOD, SCHEME, AUTHORITY, PATH, PATH), BAD),
    Case("8.3.1", ":authority twice", raw(METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH), BAD),
    Case("8.3.1", ":method with a space", raw((b":method", b"GE T"), SCHEME, AUTHORITY, PATH), BAD),
    Case("8.3.1", "host that differs from :authority", field(b"host", b"there"), BAD),
    Case("8.3.1", "host twice", (headers(1, (b"host", b"here"), (b"host", b"here")),), BAD),
    Case("8.5", "CONNECT with a path", raw((b":method", b"CONNECT"), AUTHORITY, PATH), BAD),
    Case("8.5", "CONNECT without :authority", raw((b":method", b"CONNECT")), BAD),
    Case("8.5", "CONNECT", raw((b":method", b"CONNECT"), AUTHORITY), answered()),
    Case("8.1", "no header at all", raw(), BAD),
]

BODIES = [
    Case("8.1", "trailers that do not end the stream", (OPEN, trailers(1, (b"a", b"b"), end=False)), BAD),
    Case("8.1", "a second head", (OPEN, headers(1)), BAD),
    Case(
        "8.1.1",
        "less DATA than content-length",
        (headers(1, (b"content-length", b"4"), end=False), data(1, b"abc", end=True)),
        BAD,
    ),
    Case(
        "8.1.1",
        "more DATA than content-length",
        (headers(1, (b"content-length", b"1"), end=False), data(1, b"abc", end=True)),
        BAD,
    ),
    Case(
        "8.1.1",
        "more in several frames",
        (headers(1, (b"content-length", b"3"), end=False), data(1, b"ab"), data(1, b"cd", end=True)),
        BAD,
    ),
    Case(
        "8.1.1",
        "less, ended by trailers",
        (headers(1, (b"content-length", b"3"), end=False), data(1, b"ab"), trailers(1, (b"a", b"b"))),
        BAD,
        h2_differs="h2 compares content-length at DATA only",
    ),
    Case(
        "8.1.1",
        "content-length without a body",
        field(b"content-length", b"3"),
        BAD,
        h2_differs="h2 compares content-length at DATA only",
    ),
    Case("8.1.1", "content-length twice", (headers(1, (b"content-length", b"0"), (b"content-length", b"0")),), BAD),
    Case("8.1.1", "content-length with a sign", field(b"content-length", b"+0"), BAD),
    Case("8.1.1", "content-length that is a list", field(b"content-length", b"0, 0"), BAD),
    Case("8.2.2", "connection in trailers", (OPEN, trailers(1, (b"connection", b"close"))), BAD),
    Case("8.2.1", "upper-case name in trailers", (OPEN, trailers(1, (b"A", b"b"))), BAD),
    Case("8.4", "push of a client", (frame(5, END_HEADERS, 1, bytes(4)),), connection_error(E.PROTOCOL_ERROR)),
]


@pytest.mark.parametrize(("engine", "case"), parameters([*GOOD, *FIELDS, *PSEUDO_FIELDS, *BODIES]))
def test_case(engine: str, case: Case) -> None:
    run(engine, case)
