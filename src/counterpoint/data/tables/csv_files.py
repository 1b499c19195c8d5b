"""CSV files, plain or compressed by gzip, read by Arrow; what is wrong with one is said with its line."""

from __future__ import annotations

import gzip
import io
import zlib
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from counterpoint.data.tables.columns import MISSING, mixture, plain
from counterpoint.data.tables.errors import TableError, distinct
from counterpoint.data.tables.values import NUMBER, first_text_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import numpy as np
    import pyarrow as pa

_CHUNK = 1 << 22
_DELIMITERS = ",;\t"
# Of text with numbers in it, so many different ones make it a column of numbers with mistakes: "1", "2", "3+" is none.
_MANY_NUMBERS = 20


def read_csv(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A CSV file as a table of plain columns.

    The delimiter is the one of comma, semicolon and tab that the header has most of. Quoted values may span lines.

    Args:
        path: The file; compressed if its name ends in .gz.
        columns: The columns to read; all by default.

    Raises:
        TableError: for a file that is empty, not UTF-8, ragged, or whose columns mix numbers and text.
        OSError: if it cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    header = check_csv(path)
    parse, convert = _options(header)
    if columns is not None:
        convert.include_columns = list(columns)
    try:
        with _opened(path) as file:
            table = csv.read_csv(file, csv.ReadOptions(block_size=_CHUNK), parse, convert)
    except pa.ArrowInvalid as error:
        raise _explained(path, header, error) from None
    _refuse_mixtures(path, table)
    names = table.column_names
    return pa.table([plain(name, table[place], source=path.name) for place, name in enumerate(names)], names=names)


def csv_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A CSV file piece by piece, all columns as text: a piece does not know what the others hold.

    Raises:
        TableError: for a file that is empty, not UTF-8 or ragged.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    header = check_csv(path)
    parse, convert = _options(header)
    convert.column_types = dict.fromkeys(_names(path, header), pa.string())
    if columns is not None:
        convert.include_columns = list(columns)
    try:
        with _opened(path) as file, csv.open_csv(file, csv.ReadOptions(block_size=_CHUNK), parse, convert) as pieces:
            yield from pieces
    except pa.ArrowInvalid as error:
        raise _explained(path, header, error) from None


def csv_names(path: Path) -> list[str]:
    """The names in a CSV file's header.

    Raises:
        TableError: for an empty file or a name that occurs twice.
    """
    with _opened(path) as file:
        return _names(path, _first_line(path, file))


def check_csv(path: Path) -> str:
    """Reads the bytes of a CSV file once and returns its first line.

    Raises:
        TableError: for a file that is empty or only has a header, is not UTF-8, or is damaged by half.
    """
    decode = getincrementaldecoder("utf-8")()
    with _opened(path) as file:
        header = _first_line(path, file)
    _names(path, header)
    position, lines, quotes = 0, 0, 0
    with _opened(path) as file:
        while chunk := _read(path, file, _CHUNK):
            if not chunk.isascii() or decode.getstate()[0]:
                try:
                    decode.decode(chunk)
                except UnicodeDecodeError as error:
                    where = error.start - (len(error.object) - len(chunk))
                    line = lines + chunk[: max(where, 0)].count(b"\n") + 1
                    raise _not_utf8(path, position + where, line, error.object[error.start]) from None
            lines += chunk.count(b"\n")
            quotes += chunk.count(b'"')
            position += len(chunk)
    if decode.getstate()[0]:
        raise _not_utf8(path, position - 1, lines + 1, decode.getstate()[0][0])
    if quotes % 2:  # of a complete file an even number, unless one stands inside of a value
        _refuse_open_quote(path, header)
    return header


def _refuse_open_quote(path: Path, header: str) -> None:
    """Arrow takes all that follows a quote that is never closed for one value, and says nothing."""
    import csv  # noqa: PLC0415

    line = 1
    with _as_text(path) as file:
        reader = csv.reader(file, delimiter=_delimiter(header), strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            raise TableError(
                f"{path}: line {line} has a quote that is not closed or stands inside of a value ({error}), expected "
                'quotes in pairs: correct the line, or write "" for a quote in a quoted value'
            ) from None


def _as_text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="")


def _not_utf8(path: Path, position: int, line: int, byte: int) -> TableError:
    return TableError(
        f"{path}: byte {byte:#04x} at position {position} (line {line}) is not UTF-8, expected UTF-8: convert "
        "it, for instance with iconv -f latin1 -t utf-8"
    )


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _read(path: Path, file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = "ends too early" if isinstance(error, EOFError) else "is damaged or not compressed by gzip"
        raise TableError(f"{path} {reason}, expected a complete .gz file: download or compress it again") from None


def _first_line(path: Path, file: BinaryIO) -> str:
    start = b""
    while b"\n" not in start.lstrip() and (chunk := _read(path, file, 65_536)):
        start += chunk
    if not start.strip():
        raise TableError(f"{path} is empty, expected a header and rows")
    line = b""
    for more in start.lstrip(b"\r\n").splitlines(keepends=True):
        line += more
        if not line.count(b'"') % 2:  # else a quoted name goes on in the next line
            break
    line = line.rstrip(b"\r\n")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error.start, 1, line[error.start]) from None


def _options(header: str) -> tuple[Any, Any]:
    from pyarrow import csv  # noqa: PLC0415

    parse = csv.ParseOptions(delimiter=_delimiter(header), newlines_in_values=True)
    convert = csv.ConvertOptions(null_values=list(MISSING), strings_can_be_null=True, quoted_strings_can_be_null=True)
    return parse, convert


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _names(path: Path, header: str) -> list[str]:
    import csv  # noqa: PLC0415

    return list(distinct(str(path), next(csv.reader([header], delimiter=_delimiter(header)))))


def _explained(path: Path, header: str, error: Exception) -> TableError:
    """Finds the ragged row that Arrow stumbled on, with its line in the file."""
    import csv  # noqa: PLC0415

    expected = len(_names(path, header))
    with _as_text(path) as file:
        reader = csv.reader(file, delimiter=_delimiter(header))
        line = 1
        try:
            for fields in reader:
                if fields and len(fields) != expected:
                    many = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
                    return TableError(
                        f"{path}: line {line} has {many}, expected {expected} as in the header: correct the line, "
                        "or quote values that hold the delimiter"
                    )
                line = reader.line_num + 1
        except csv.Error as reason:
            todo = "is a quote never closed?" if "larger" in str(reason) else "correct it"
            return TableError(f"{path}: line {line} cannot be read ({reason}), expected comma-separated values: {todo}")
    return TableError(f"{path} cannot be read as CSV: {str(error).splitlines()[0]}")


def _refuse_mixtures(path: Path, table: pa.Table) -> None:
    """Numbers with some text among them make a column of text, which nobody meant."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    for place, name in enumerate(table.column_names):
        array = table[place]
        if not pa.types.is_string(array.type):
            continue
        counts = pc.value_counts(array)
        values, times = counts.field("values"), counts.field("counts").to_numpy()
        present = values.is_valid().to_numpy(zero_copy_only=False)
        spelled = _spells_number(values)
        numbers = times[spelled].sum()
        if numbers == times[present].sum() or 2 * numbers < times[present].sum():
            continue
        fractions = pc.any(pc.match_substring_regex(values.filter(pa.array(spelled)), r"[.eE]")).as_py()
        if spelled.sum() > _MANY_NUMBERS or fractions:
            row = first_text_row(array)
            assert row is not None  # noqa: S101  (some value is text)
            raise mixture(name, str(path), row, repr(array[row].as_py()), "numbers")


def _spells_number(values: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc  # noqa: PLC0415

    found: np.ndarray = pc.fill_null(pc.match_substring_regex(values, NUMBER), False).to_numpy(zero_copy_only=False)
    return found
