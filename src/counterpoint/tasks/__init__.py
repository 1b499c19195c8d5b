"""What a task is: a loss, a metric, and which way is better."""

from counterpoint.tasks.task import Task

__all__ = ["Task"]
