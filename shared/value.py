"""`value`: a dataclass that is never changed, for what is made by the thousand.

The type checker holds it frozen, as ``dataclass(frozen=True, slots=True)`` would. At run time it is not: a frozen instance
sets each field through `object.__setattr__`, and takes three times as long to make.
"""

import dataclasses
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """The class decorator."""
    return dataclasses.dataclass(slots=True, unsafe_hash=True)(cls)
