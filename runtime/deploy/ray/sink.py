"""Writing a data set as Parquet files whose rows stand in order.

Ray's own ``write_parquet`` lets Arrow write a file with several threads, which mixes up the rows within it now and then
(seen with Ray 2.60: batches of eight rows changed places), whatever the execution is told of order.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet
from ray.data import Datasink
from ray.data.block import BlockAccessor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class OrderedParquet(Datasink):  # type: ignore[misc]  # ray has no types
    """A file for each task that writes, named so that sorted names give the tasks' order."""

    def __init__(self, folder: Path) -> None:
        """Write into a folder, which must be there.

        Args:
            folder: seen by every machine.
        """
        super().__init__()
        self._folder = folder

    def write(self, blocks: Iterable[Any], ctx: Any) -> int:  # noqa: ANN401  (Ray's TaskContext)
        """Write the blocks of one task, in order, whole or not at all; how many rows they have."""
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        tables = [table for table in tables if table.num_rows]
        if not tables:
            return 0
        name = f"part-{ctx.task_idx:06}.parquet"
        # A task that failed is run again, perhaps while its first try still writes.
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}"
        table = pa.concat_tables(tables, promote_options="default")
        pa.parquet.write_table(table, temporary)
        temporary.replace(self._folder / name)
        return int(table.num_rows)
