"""The HTTP/1.1 decoder reads what is unambiguous, refuses the rest, and fails only in its own ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.http1 import Data, End, Event, Head, Limits, RequestDecoder
from shared.http_errors import HttpError

HOST = b"Host: minka.local:8080\r\n"
DEFAULT = Limits()
SMALL = Limits(line_bytes=64, header_bytes=128, header_count=4, body_bytes=32, query_fields=2)


def events(data: bytes, limits: Limits = DEFAULT, step: int | None = None) -> list[Event]:
    """All events of `data`, fed whole or in pieces of `step` bytes; raises what the decoder raises."""
    decoder = RequestDecoder(limits)
    found: list[Event] = []
    size = step or max(1, len(data))
    for start in range(0, len(data), size):
        decoder.receive(data[start : start + size])
        while (event := decoder.next_event()) is not None:
            found.append(event)
    return found


def outcome(data: bytes, limits: Limits, step: int) -> tuple[list[Event], int | None]:
    """The events with neighbouring body pieces joined, and the status of the error that ended them."""
    decoder = RequestDecoder(limits)
    found: list[Event] = []
    for start in range(0, len(data), step):
        decoder.receive(data[start : start + step])
        try:
            while (event := decoder.next_event()) is not None:
                if isinstance(event, Data) and found and isinstance(found[-1], Data):
                    found[-1] = Data(found[-1].data + event.data)
                else:
                    found.append(event)
        except HttpError as error:
            with pytest.raises(type(error)):
                decoder.next_event()
            return found, error.status
    return found, None


def head_of(data: bytes) -> Head:
    first = events(data)[0]
    assert isinstance(first, Head)
    return first


def refused(data: bytes, limits: Limits = DEFAULT) -> int:
    with pytest.raises(HttpError) as caught:
        events(data, limits)
    return caught.value.status


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_reads_pipelined_requests_in_order_however_the_bytes_arrive(step: int) -> None:
    data = (
        b"GET /api/status?after=7 HTTP/1.1\r\n" + HOST + b"\r\n"
        b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
        b"PUT /b HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
        b"HEAD / HTTP/1.1\r\n" + HOST + b"Connection: Close\r\n\r\n"
    )
    found = events(data, step=step)
    heads = [event for event in found if isinstance(event, Head)]
    body = b"".join(event.data for event in found if isinstance(event, Data))
    assert [head.method for head in heads] == ["GET", "POST", "PUT", "HEAD"]
    assert [head.path for head in heads] == ["/api/status", "/a", "/b", "/"]
    assert dict(heads[0].query) == {"after": "7"}
    assert [head.length for head in heads] == [0, 5, None, 0]
    assert [head.keep_alive for head in heads] == [True, True, True, False]
    assert body == b"helloabc0123456789"
    assert sum(isinstance(event, End) for event in found) == 4


def test_headers_are_lower_case_and_repeated_ones_are_joined() -> None:
    head = head_of(b"GET / HTTP/1.1\r\nhOST: A.b:80\r\nAccept:  x \r\nACCEPT: y\r\n\r\n")
    assert head.headers["accept"] == "x, y"
    assert (head.host, head.port) == ("a.b", 80)


def test_a_path_is_decoded_once() -> None:
    assert head_of(b"GET /ni%C3%B1o%2F%252e HTTP/1.1\r\n" + HOST + b"\r\n").path == "/niño/%2e"


def test_an_http_1_0_request_needs_no_host_and_is_not_kept_alive() -> None:
    head = head_of(b"GET / HTTP/1.0\r\n\r\n")
    assert head.host == ""
    assert not head.keep_alive


def test_the_absolute_form_is_read_when_it_names_the_same_host() -> None:
    assert head_of(b"GET http://minka.local:8080/x?y=1 HTTP/1.1\r\n" + HOST + b"\r\n").path == "/x"
    assert refused(b"GET http://other/x HTTP/1.1\r\n" + HOST + b"\r\n") == 400


def test_expect_continue_is_told_once_the_head_is_there() -> None:
    head = head_of(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n")
    assert head.expects_continue
    assert refused(b"GET / HTTP/1.1\r\n" + HOST + b"Expect: miracles\r\n\r\n") == 417


SMUGGLING = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two equal lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd",
    "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
    "a negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd",
    "a hexadecimal length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd",
    "an underscored length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nabcd",
    "a superscript length": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ²\r\n\r\nab".encode("latin-1"),
    "an empty length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "a hidden coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a coding with a vertical tab": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded first header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a lone LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "a lone LF after a header": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "a lone CR in a header": b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "an empty line first": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "a header without colon": b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "a header without name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a tab for a space": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "no slash": b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a broken escape": b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "an escaped NUL": b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
    "an escaped line end": b"GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n",
    "an overlong slash": b"GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a lower-case version": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "a repeated query field": b"GET /?a=1&a=2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a signed chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n",
    "a chunk size with 0x": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n",
    "an empty chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
    "a chunk extension": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n",
    "a chunk that goes on": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
    "a chunk that ends with LF": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n",
    "a chunk size that overflows": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"0" * 17
    + b"3\r\n",
    "trailers": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
}


@pytest.mark.parametrize("data", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_two_readers_could_read_differently_is_refused(data: bytes) -> None:
    assert refused(data) == 400


OTHER_REFUSALS = {
    "a body without length": (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411),
    "another coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "a tunnel": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "a length of 30 digits": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        413,
    ),
    "a long body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n", 413),
    "long chunks": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", 413),
    "a long target": (b"GET /" + b"a" * 64 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "an endless target": (b"GET /" + b"a" * 64, 414),
    "a long header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 128 + b"\r\n\r\n", 431),
    "an endless header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 128, 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4 + b"\r\n", 431),
    "many query fields": (b"GET /?a=1&b=2&c=3 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
}


@pytest.mark.parametrize(("data", "status"), OTHER_REFUSALS.values(), ids=OTHER_REFUSALS.keys())
def test_limits_and_what_is_not_spoken_have_their_own_status(data: bytes, status: int) -> None:
    assert refused(data, SMALL) == status


def test_chunks_that_pass_the_limit_together_are_refused() -> None:
    data = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"10\r\n" + b"a" * 16 + b"\r\n") * 3
    )
    assert refused(data, SMALL) == 413


PIECES = st.sampled_from(
    [
        b"GET ", b"POST ", b"/", b"/a?b=c", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b":",
        b"Host: a\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n",
        b"abc", b"\0", b"\xff", b"%41", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
)  # fmt: skip
GARBAGE = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=30).map(b"".join))


@settings(max_examples=300, deadline=None)
@given(data=GARBAGE, step=st.integers(1, 40))
def test_garbage_gives_the_same_events_and_only_http_errors_whole_or_in_pieces(
    data: bytes, step: int
) -> None:
    whole = outcome(data, SMALL, max(1, len(data)))
    assert outcome(data, SMALL, 1) == whole
    assert outcome(data, SMALL, step) == whole
