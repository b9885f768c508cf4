"""Answers are written so that their length is never in doubt, and no field can break out of its line."""

import json

import pytest

from shared.http_errors import MethodNotAllowed, NotFound
from shared.http_events import encode_event
from shared.http_responses import Response, encode_response, error_response, json_response, text_response


def test_a_response_carries_its_length_and_the_extra_fields_it_lacks() -> None:
    encoded = encode_response(text_response("olá"), extra=(("Cache-Control", "public"), ("X-A", "b")))
    assert encoded == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nX-A: b\r\n"
        b"Content-Length: 4\r\n\r\nol\xc3\xa1"
    )


def test_the_answer_to_head_has_the_length_without_the_body() -> None:
    encoded = encode_response(Response(body=b"12345"), head_only=True, keep_alive=False)
    assert encoded == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_length(status: int) -> None:
    assert b"Content-Length" not in encode_response(Response(status, body=b"x"))


@pytest.mark.parametrize("field", [("X", "a\r\nB: c"), ("X\r\n", "a"), ("X", "ñ\u20ac"), ("", "a")])
def test_a_field_that_would_break_its_line_is_not_written(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encode_response(Response(headers=(field,)))


def test_json_is_utf_8_without_not_a_number() -> None:
    assert json.loads(json_response({"name": "niño"}).body) == {"name": "niño"}
    with pytest.raises(ValueError, match="JSON"):
        json_response({"loss": float("nan")})


def test_errors_become_one_line_of_text() -> None:
    assert error_response(NotFound("No such page.")).body == b"No such page.\n"
    assert ("Allow", "GET, HEAD") in error_response(MethodNotAllowed(("GET", "HEAD"))).headers


def test_an_event_is_one_line_of_data() -> None:
    assert encode_event("status", {"a": "1\n2"}, "7") == b'id: 7\nevent: status\ndata: {"a":"1\\n2"}\n\n'
    with pytest.raises(ValueError, match="line end"):
        encode_event("a\nb", 1)
