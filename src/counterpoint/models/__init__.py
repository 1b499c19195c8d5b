"""Encoders, heads, and the model that joins them."""

from counterpoint.models.embedding import CodeEmbedding
from counterpoint.models.lenet import LeNetEncoder, LeNetHead
from counterpoint.models.mlp import MLPEncoder
from counterpoint.models.multi_task import MultiTaskModel
from counterpoint.models.table_network import TableNetwork

__all__ = ["CodeEmbedding", "LeNetEncoder", "LeNetHead", "MLPEncoder", "MultiTaskModel", "TableNetwork"]
