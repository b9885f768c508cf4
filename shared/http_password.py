"""One password for a site, by the Basic scheme (RFC 7617). It keeps curious people out; only TLS keeps listeners out."""

import base64
import binascii
import hashlib
import hmac

from shared.http1 import Request
from shared.http_errors import Unauthorized


class Password:
    """Asks for `password`, with any name before it; None: everyone is let in."""

    def __init__(self, password: str | None, realm: str = "Minka") -> None:
        self._digest = None if password is None else hashlib.sha256(password.encode()).digest()
        self._realm = realm

    def check(self, request: Request) -> None:
        """Raises `Unauthorized`. How long it takes tells nothing of the password."""
        if self._digest is None:
            return
        scheme, _, told = request.head.headers.get("authorization", "").partition(" ")
        try:
            _, colon, given = base64.b64decode(told.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            colon, given = b"", b""
        right = hmac.compare_digest(hashlib.sha256(given).digest(), self._digest)
        if scheme.lower() != "basic" or not colon or not right:
            raise Unauthorized(self._realm)
