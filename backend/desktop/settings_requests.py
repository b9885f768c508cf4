"""What the page asks about settings: which cluster, which key, the language and the look."""

import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any, Protocol

from backend.desktop.calls import Call, Route, route
from backend.desktop.choices import LANGUAGES, THEMES, ChoiceFile
from shared.errors import Refused


class Finder(Protocol):
    """As `ClusterFinder`."""

    def public(self) -> dict[str, Any]: ...
    def nearby(self) -> list[dict[str, Any]]: ...
    def choose(self, addresses: str, key: str | None, mark: str | None = None) -> None: ...
    def forget(self) -> None: ...


class SettingsRequests:
    """Answers them."""

    def __init__(self, finder: Finder, choices: ChoiceFile, changed: Callable[[], None]) -> None:
        """`changed` is called when another cluster is meant from now on."""
        self._finder = finder
        self._choices = choices
        self._changed = changed

    @property
    def routes(self) -> list[Route]:
        return [
            route("GET", "/api/settings", self._get, waits=False),
            route("PUT", "/api/settings/cluster", self._choose),
            route("DELETE", "/api/settings/cluster", self._forget),
            route("PUT", "/api/settings/look", self._look),
            route("GET", "/api/nearby", lambda _: {"clusters": self._finder.nearby()}),
        ]

    def _get(self, _call: Call) -> Any:
        chosen = self._choices.get()
        return {
            "cluster": self._finder.public(),
            "language": chosen.language,
            "theme": chosen.theme,
            "version": version(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}".strip(),
        }

    def _choose(self, call: Call) -> Any:
        asked = call.fields()
        addresses, key, mark = asked.get("addresses", ""), asked.get("key"), asked.get("mark")
        if not (isinstance(addresses, str) and isinstance(key, str | None) and isinstance(mark, str | None)):
            raise Refused("'addresses', 'key' and 'mark' must be texts.")
        self._finder.choose(addresses, key, mark)
        self._changed()
        return self._get(call)

    def _forget(self, call: Call) -> Any:
        self._finder.forget()
        self._changed()
        return self._get(call)

    def _look(self, call: Call) -> Any:
        asked = call.fields()
        chosen = {name: asked[name] for name in ("language", "theme") if name in asked}
        if chosen.get("language", "") not in LANGUAGES or chosen.get("theme", "") not in THEMES:
            raise Refused("The language is es or en, the theme light or dark.")
        self._choices.change(**chosen)
        return self._get(call)


def version() -> str:
    """Of Minka, as it is installed."""
    try:
        return metadata.version("minka")
    except metadata.PackageNotFoundError:
        return ""
