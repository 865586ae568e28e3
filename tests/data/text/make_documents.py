#!/usr/bin/env python3
"""Writes documents.parquet: 23 rows in row groups of 5, with a null, an empty text, long ones and text outside
of ASCII; a column of numbers and one of lists beside it. Needs pyarrow 26.0.1."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq


def text_of(row):
    """What row `row` holds; the tests compute it again."""
    if row == 3:
        return None
    if row == 7:
        return ""
    return f"Document {row}: größe, 日本語, and \"quotes\".\n" * (1 + 200 * (row % 4 == 2))


rows = range(23)
table = pa.table({
    "id": pa.array([f"doc-{row}" for row in rows]),
    "text": pa.array([text_of(row) for row in rows]),
    "score": pa.array([row / 10 for row in rows]),
    "tags": pa.array([["a", "b"][: row % 3] for row in rows]),
})
pq.write_table(table, pathlib.Path(__file__).with_name("documents.parquet"), row_group_size=5, compression="zstd",
               data_page_size=1000)
