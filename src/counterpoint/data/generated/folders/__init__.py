"""Generated data in the layouts of real ones, for rehearsals and demonstrations."""

from counterpoint.data.generated.folders.celeba import write_celeba
from counterpoint.data.generated.folders.cityscapes import write_cityscapes
from counterpoint.data.generated.folders.nyuv2 import write_nyuv2
from counterpoint.data.generated.folders.taskonomy import write_taskonomy

__all__ = ["write_celeba", "write_cityscapes", "write_nyuv2", "write_taskonomy"]
