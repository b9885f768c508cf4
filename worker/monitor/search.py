"""`/api/records?search=WORDS`: all records there ever were, read from the disk on a thread of its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

from shared.http_deferred import Deferred
from shared.http_errors import BadRequest, ServiceUnavailable
from shared.http_responses import json_response, text_response
from worker.storage.archive import RecordArchive

WAITING_LIMIT = 16
SEARCH_CHARACTERS = 200


def search_words(text: str) -> list[str]:
    """In lower case. Raises `BadRequest` for a text that is too long."""
    if len(text) > SEARCH_CHARACTERS:
        raise BadRequest(f"search has more than {SEARCH_CHARACTERS} characters.")
    return text.lower().split()


class RecordSearch:
    """Answers a few searches at a time, one after the other."""

    def __init__(self, archive: RecordArchive) -> None:
        self._archive = archive
        self._room = BoundedSemaphore(WAITING_LIMIT)
        self._thread = ThreadPoolExecutor(1, "records")

    def find(self, text: str, before: int, limit: int) -> Deferred:
        """{"records": newest first, "looked_to": the search goes on below this number, until 1}.

        Raises `BadRequest` for a text that is too long, `ServiceUnavailable` when too many wait.
        """
        words = search_words(text)
        if not self._room.acquire(blocking=False):
            raise ServiceUnavailable("Too many searches wait.", (("Retry-After", "1"),))
        deferred = Deferred()
        self._thread.submit(self._search, deferred, words, before, limit)
        return deferred

    def _search(self, deferred: Deferred, words: list[str], before: int, limit: int) -> None:
        try:
            found = self._archive.search(words, before, limit)
            deferred.complete(json_response({"records": found.records, "looked_to": found.looked_to}))
        except (OSError, ValueError) as error:
            deferred.complete(text_response(f"The records cannot be read: {error}.\n", 500))
        finally:
            self._room.release()
