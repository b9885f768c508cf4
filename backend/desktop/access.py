"""Who may use the bridge: the page that was opened with this run's token, and nobody else on this computer.

The token travels in the fragment of the page's address, which browsers send to no server, and comes back in a header,
which pages of other sites cannot set without an answer to a preflight that is never given. Host and Origin are checked
beside it (DNS rebinding, forged requests). A cookie would not do: browsers share them between all ports of a computer.
"""

import hmac
import secrets
from dataclasses import dataclass, field

from shared.http1 import Head
from shared.http_errors import Forbidden, MisdirectedRequest

TOKEN_HEADER = "x-minka-token"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one run of the bridge, which listens on `port` of the loopback address."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def origin(self) -> str:
        """The only origin that requests may come from."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def address(self) -> str:
        """Where the page opens, the token in its fragment."""
        return f"{self.origin}/#token={self.token}"

    def check_place(self, head: Head) -> None:
        """For every request. Raises `MisdirectedRequest` for another name than ours, `Forbidden` for another origin."""
        if (head.host, head.port) != (LOOPBACK, self.port):
            raise MisdirectedRequest("This server does not go by that name.")
        if head.headers.get("origin", self.origin) != self.origin:
            raise Forbidden("Pages of other sites may not use this server.")
        if head.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Forbidden("Pages of other sites may not use this server.")

    def check_token(self, head: Head) -> None:
        """For everything but the page itself. Raises `Forbidden`."""
        shown = head.headers.get(TOKEN_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(shown, self.token.encode("ascii")):
            raise Forbidden("Open this page from Minka: it lacks the key of this run.")
