"""Opens Parquet files; pyarrow is imported on first use, and a light install without it gets the fix as an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from esn_dist.errors import UserError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile


def open_parquet(path: Path) -> ParquetFile:
    """Open the file.

    Raises:
        UserError: pyarrow is not installed, or the file is not Parquet.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise UserError(
            "Parquet needs pyarrow", where=str(path), fix="pip install 'esn-dist[parquet]', or save the table as CSV"
        ) from None
    try:
        return ParquetFile(path)
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror or error}", where=str(path)) from None
    except pyarrow.ArrowException as error:
        raise UserError(f"not valid Parquet: {error}", where=str(path)) from None
