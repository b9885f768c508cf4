"""What a worker finds in its folder when it starts: who it is, its log, and the state that it goes on from."""

from collections.abc import Callable

from worker.formation import lay_aside
from worker.settings import Settings
from worker.snapshots import Loaded, open_log
from worker.storage.disk import Disk
from worker.storage.identity import Identity, establish, open_identity
from worker.storage.log import EntryLog, LogCorrupt


def open_data(
    disk: Disk, settings: Settings, cluster: str, say: Callable[[str], None]
) -> tuple[Identity, EntryLog, Loaded]:
    """The log of this disk, and the state that it goes on from.

    If either is damaged, both are laid aside: this worker begins again, as one that was wiped. One that is alone has
    nobody to ask, and raises `LogCorrupt`.
    """
    identity = open_identity(disk, settings.data, settings.id, cluster)
    try:
        log, found = open_log(disk, settings.data, identity, say)
    except LogCorrupt as damage:
        if len(settings.peers) == 1:
            raise
        aside = lay_aside(settings.data)
        say(f"ALARM: {damage} It was laid aside in {aside}; this worker asks its peers for a new copy.")
        identity = open_identity(disk, settings.data, settings.id, cluster)
        log, found = open_log(disk, settings.data, identity, say)
    return establish(disk, settings.data, identity), log, found
