"""Answers travel in part where a part is asked for, and compressed where that pays."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http1 import Limits, Request, parse_head
from shared.http_delivery import accepts_gzip, delivered
from shared.http_errors import RangeNotSatisfiable
from shared.http_responses import Response, encode_response

BODY = bytes(range(256)) * 40
TAGGED = Response(200, (("Content-Type", "image/png"), ("ETag", '"abc"')), BODY)
TEXT = Response(200, (("Content-Type", "text/css; charset=utf-8"), ("ETag", '"abc"')), b"a { b: c }\n" * 500)


def asked(method: str = "GET", **headers: str) -> Request:
    fields = [("host", "a"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return Request(parse_head(f"{method} /x HTTP/1.1", fields, Limits()))


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=10-", 10, 10_239),
        ("bytes=-5", 10_235, 10_239),
        ("bytes=5-99999", 5, 10_239),
    ],
)
def test_a_part_is_given(wanted: str, first: int, last: int) -> None:
    part = delivered(asked(range=wanted), TAGGED)
    assert part.status == 206
    assert part.body == BODY[first : last + 1]
    assert dict(part.headers)["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"


@pytest.mark.parametrize("wanted", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_what_is_not_there_is_said_so(wanted: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        delivered(asked(range=wanted), TAGGED)
    assert dict(refused.value.headers)["Content-Range"] == "bytes */10240"


@pytest.mark.parametrize(
    "wanted", ["lines=1-2", "bytes=1-2,5-6", "bytes=9-1", "bytes=-", "bytes=a-b", "bytes 1-2", ""]
)
def test_what_means_nothing_gets_the_whole(wanted: str) -> None:
    assert delivered(asked(range=wanted), TAGGED).status == 200


def test_a_part_of_another_version_is_the_whole() -> None:
    assert delivered(asked(range="bytes=0-9", if_range='"old"'), TAGGED).status == 200
    assert delivered(asked(range="bytes=0-9", if_range='"abc"'), TAGGED).status == 206


def test_head_and_untagged_answers_have_no_parts() -> None:
    assert delivered(asked("HEAD", range="bytes=0-9"), TAGGED).status == 200
    assert delivered(asked(range="bytes=0-9"), Response(body=BODY)).status == 200


def test_text_is_compressed_for_who_takes_it() -> None:
    short = delivered(asked(accept_encoding="deflate, gzip;q=0.5"), TEXT)
    headers = dict(short.headers)
    assert gzip.decompress(short.body) == TEXT.body
    assert (headers["ETag"], headers["Vary"], headers["Content-Encoding"]) == (
        'W/"abc"',
        "Accept-Encoding",
        "gzip",
    )
    whole = delivered(asked(), TEXT)
    assert (whole.body, dict(whole.headers)["Vary"]) == (TEXT.body, "Accept-Encoding")
    head = encode_response(delivered(asked("HEAD", accept_encoding="gzip"), TEXT), head_only=True)
    assert f"Content-Length: {len(short.body)}".encode() in head


def test_what_is_compressed_or_small_already_is_not() -> None:
    wants = asked(accept_encoding="gzip")
    assert delivered(wants, TAGGED).body == BODY
    assert delivered(wants, Response(200, TEXT.headers, b"short")).body == b"short"
    assert delivered(wants, Response(304, TEXT.headers)).status == 304


def test_a_part_is_never_compressed() -> None:
    part = delivered(asked(range="bytes=0-2999", accept_encoding="gzip"), TEXT)
    assert part.body == TEXT.body[:3000]
    assert "Content-Encoding" not in dict(part.headers)


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("*", True),
        ("br;q=1, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_who_takes_gzip(accepted: str, taken: bool) -> None:
    assert accepts_gzip(accepted) is taken


@given(
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60),
    st.text("bytes=0123456789-, ", max_size=30),
)
def test_any_wish_gets_the_bytes_or_one_clear_refusal(accepted: str, wanted: str) -> None:
    try:
        answer = delivered(asked(accept_encoding=accepted, range=wanted), TEXT)
    except RangeNotSatisfiable:
        return
    body = gzip.decompress(answer.body) if "Content-Encoding" in dict(answer.headers) else answer.body
    assert body in TEXT.body
    assert answer.status == 206 or body == TEXT.body
