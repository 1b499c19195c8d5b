"""Which tasks should share a network: affinity in, networks out, solved to proof."""

from counterpoint.grouping.group_tasks import group_tasks
from counterpoint.grouping.result import Grouping, Network, Progress

__all__ = ["Grouping", "Network", "Progress", "group_tasks"]
