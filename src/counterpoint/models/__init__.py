"""Encoders, heads, and the model that joins them."""

from counterpoint.models.cost import Cost, cost_of, multiply_adds
from counterpoint.models.embedding import CodeEmbedding
from counterpoint.models.image_heads import ASPPHead, ConvHead, LinearHead, ScalesHead
from counterpoint.models.lenet import LeNetEncoder, LeNetHead
from counterpoint.models.mlp import MLPEncoder
from counterpoint.models.mmoe import MMoEEncoder, MMoEHead
from counterpoint.models.multi_task import MultiTaskModel
from counterpoint.models.ple import PLEEncoder, PLEHead
from counterpoint.models.pyramid_head import PyramidHead
from counterpoint.models.resnet import ResNet
from counterpoint.models.start import start_at
from counterpoint.models.table_network import TableNetwork
from counterpoint.models.unet import UNet

__all__ = [
    "ASPPHead",
    "CodeEmbedding",
    "ConvHead",
    "Cost",
    "LeNetEncoder",
    "LeNetHead",
    "LinearHead",
    "MLPEncoder",
    "MMoEEncoder",
    "MMoEHead",
    "MultiTaskModel",
    "PLEEncoder",
    "PLEHead",
    "PyramidHead",
    "ResNet",
    "ScalesHead",
    "TableNetwork",
    "UNet",
    "cost_of",
    "multiply_adds",
    "start_at",
]
