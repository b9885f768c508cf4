"""How an answer travels: compressed where that pays, and in part where only a part is asked for (RFC 9110, 12.5.3, 14)."""

import functools
import gzip
import re
from dataclasses import replace

from shared.http1 import Request
from shared.http_errors import RangeNotSatisfiable
from shared.http_responses import Response

LEAST_BYTES = 1_024
"""Less fits a packet or two as it is."""
FAST_LEVEL = 1
SMALL_LEVEL = 9
"""For what is asked for again and again: it is compressed once."""
KEPT_ANSWERS = 64
_TEXT = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_WEIGHT = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)")
_RANGE = re.compile(r"bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})|-(?P<suffix>[0-9]{1,18}))")


def delivered(request: Request, response: Response) -> Response:
    """`response` as this request wants it. Raises `RangeNotSatisfiable`.

    A range is of the bytes as they are, so an answer in part is never compressed.
    """
    if response.status != 200:
        return response
    headers = {name.lower(): value for name, value in response.headers}
    tag = headers.get("etag")
    if tag is not None and request.method == "GET":
        response = replace(response, headers=(*response.headers, ("Accept-Ranges", "bytes")))
        wanted = request.head.headers.get("range")
        if wanted is not None and request.head.headers.get("if-range", tag) == tag:
            part = _in_part(wanted, response)
            if part is not None:
                return part
    if not headers.get("content-type", "").startswith(_TEXT) or "content-encoding" in headers:
        return response
    varying = (*response.headers, ("Vary", "Accept-Encoding"))
    if len(response.body) < LEAST_BYTES or not accepts_gzip(request.head.headers.get("accept-encoding", "")):
        return replace(response, headers=varying)
    body = _kept(response.body) if tag is not None else gzip.compress(response.body, FAST_LEVEL, mtime=0)
    # A weak tag: the same page, but other bytes (RFC 9110 section 8.8.1).
    weak = tuple((name, f"W/{value}" if name.lower() == "etag" else value) for name, value in varying)
    return replace(response, headers=(*weak, ("Content-Encoding", "gzip")), body=body)


def accepts_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip, or any coding, with a weight above zero."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, _, weight = item.partition(";")
        told = _WEIGHT.fullmatch(weight.strip())
        weights[coding.strip()] = 1.0 if told is None else float(told[1])
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _in_part(wanted: str, response: Response) -> Response | None:
    """One range of bytes; None for what a server may answer with the whole: several ranges, or another unit."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None:
        return None
    size = len(response.body)
    if match["suffix"] is not None:
        first, last = max(0, size - int(match["suffix"])), size - 1
        if int(match["suffix"]) == 0:
            raise RangeNotSatisfiable(size)
    else:
        first = int(match["first"])
        last = min(int(match["last"] or size - 1), size - 1)
        if match["last"] and int(match["last"]) < first:
            return None  # no range at all, RFC 9110 section 14.1.1
    if first >= size:
        raise RangeNotSatisfiable(size)
    headers = (*response.headers, ("Content-Range", f"bytes {first}-{last}/{size}"))
    return Response(206, headers, response.body[first : last + 1])


@functools.lru_cache(KEPT_ANSWERS)
def _kept(body: bytes) -> bytes:
    return gzip.compress(body, SMALL_LEVEL, mtime=0)
