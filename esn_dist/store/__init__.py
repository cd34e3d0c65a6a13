"""Results of a sweep as plain Zarr v3: created by the driver, written by workers in whole chunks, read as xarray.

Knows nothing of models, Ray or how a cell is computed. `store/README.md` is the contract of the layout.

| purpose | modules |
| --- | --- |
| files on disk or in a bucket | `backend`, `local_backend`, `folder`, `zarr_nodes` |
| layout | `schema`, `tables`, `columns`, `text_encoding` |
| create and grow (driver) | `create`, `append_blocks` |
| write (workers) | `write`, `done`, `correct_sums` |
| one driver per store | `lock` |
| read | `read`, which offers `datasets`, `read_counts`, `read_tables`, `describe`; `lazy_rows`, `speakers` |
| runs | `run_log`, `run_events`, `status` |
| compare two stores | `compare` |
| masks as files | `maskfile` |
"""
