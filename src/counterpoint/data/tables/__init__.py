"""Tables: from a CSV file, a Parquet file or a DataFrame to tensors, and back to labels."""

from counterpoint.data.tables.errors import TableError
from counterpoint.data.tables.inference import target_of, with_statistics
from counterpoint.data.tables.leaks import Leak
from counterpoint.data.tables.options import TableOptions
from counterpoint.data.tables.preparation import prepare
from counterpoint.data.tables.preprocessing import Preprocessing
from counterpoint.data.tables.reading import read_batches, read_table, table_names
from counterpoint.data.tables.schema import ColumnSummary, Dropped, TableSchema
from counterpoint.data.tables.store import PreparedTable
from counterpoint.data.tables.target import Target

__all__ = [
    "ColumnSummary",
    "Dropped",
    "Leak",
    "PreparedTable",
    "Preprocessing",
    "TableError",
    "TableOptions",
    "TableSchema",
    "Target",
    "prepare",
    "read_batches",
    "read_table",
    "table_names",
    "target_of",
    "with_statistics",
]
