"""A machine of a cluster, as a value: the search asks Ray for it, displays draw it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node of a Ray cluster.

    Attributes:
        name: its host and address.
        is_alive: whether Ray reaches it.
        total: resources that it has, by Ray's names; memory in bytes.
        free: what of that nobody occupies.
    """

    name: str
    is_alive: bool
    total: Mapping[str, float]
    free: Mapping[str, float]
