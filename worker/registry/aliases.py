"""What models are called beside their ids: versions of a name (`digits@2`), and aliases (`digits@best`) that move.

Models that are given one name are its versions, counted from 1 in the order of the log. An alias belongs to a name, and
points to one of its versions that is trained; where it pointed before is remembered, so that it can be rolled back.
"""

import re
from collections.abc import Iterator
from typing import Any

from shared.errors import Refused

BEFORE = 100
"""Earlier models of one alias that are remembered."""
ALIASES_LIMIT = 10_000
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)


class Aliases:
    """Names, versions and aliases; models are told by their ids."""

    def __init__(self) -> None:
        self._versions: dict[str, list[str]] = {}
        self._pointed: dict[str, list[str]] = {}
        """Alias, with its name -> the models that it has pointed to, the present one last."""

    def add(self, name: str, model: str) -> None:
        """A model of this name was created."""
        if name:
            self._versions.setdefault(name, []).append(model)

    def find(self, wanted: str) -> str | None:
        """The model that `name@alias` or `name@version` means."""
        if wanted in self._pointed:
            return self._pointed[wanted][-1]
        name, _, number = wanted.rpartition("@")
        versions = self._versions.get(name, [])
        if number.isascii() and number.isdigit() and len(number) < 10 and 1 <= int(number) <= len(versions):
            return versions[int(number) - 1]
        return None

    def point(self, name: str, alias: str, model: str) -> tuple[str, str | None]:
        """Let the alias of this name point to `model`; the whole alias, and where it pointed before.

        Raises Refused for an alias that looks like something else.
        """
        if not name:
            raise Refused(f"{model} has no name that an alias could belong to.", "Train with --name.")
        if not _ALIAS.fullmatch(alias):
            raise Refused(
                f"{alias[:64]!r} cannot be an alias.",
                "Begin with a letter; then letters, digits, '_', '-', '.'.",
            )
        whole = f"{name}@{alias}"
        if whole not in self._pointed and len(self._pointed) >= ALIASES_LIMIT:
            raise Refused(f"There are {ALIASES_LIMIT:,} aliases already.")
        pointed = self._pointed.setdefault(whole, [])
        before = pointed[-1] if pointed else None
        if before == model:
            raise Refused(f"{whole} is {model} already.")
        pointed.append(model)
        del pointed[: -BEFORE - 1]
        return whole, before

    def roll_back(self, whole: str) -> tuple[str, str]:
        """Let an alias point where it did before; the model then, and the one that it is taken from.

        Raises Refused for an unknown alias, and for one that pointed nowhere before.
        """
        pointed = self._pointed.get(whole, [])
        if len(pointed) < 2:
            what = (
                f"There is no alias {whole[:64]!r}" if not pointed else f"{whole} was no other model before"
            )
            raise Refused(f"{what}.", "`minka models` lists them.")
        taken = pointed.pop()
        return pointed[-1], taken

    def dump(self) -> Iterator[list[Any]]:
        """The aliases as rows of `Registry.dump`; versions follow from the models."""
        for whole, models in self._pointed.items():
            yield ["alias", whole, models]

    def load(self, whole: str, models: list[str]) -> None:
        """Take in one such row."""
        self._pointed[whole] = list(models)
