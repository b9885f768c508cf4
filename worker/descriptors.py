"""How many files and sockets this process may have open: clients must never use up what the log needs."""

import contextlib
import sys

if sys.platform != "win32":
    import resource

ENOUGH = 4_096
"""Above all connections, uploads and segments together; some systems begin with 256."""


def allow_enough() -> None:
    """Raise this process's own limit, as far as the system lets it. Windows has none that matters."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
