"""Encoders, heads, and the model that joins them."""

from counterpoint.models.lenet import LeNetEncoder, LeNetHead
from counterpoint.models.mlp import MLPEncoder
from counterpoint.models.multi_task import MultiTaskModel

__all__ = ["LeNetEncoder", "LeNetHead", "MLPEncoder", "MultiTaskModel"]
