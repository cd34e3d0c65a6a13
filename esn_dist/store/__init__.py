"""Results on disk as plain Zarr v3: created by the driver, filled by actors in whole chunks, read back as xarray.

Knows nothing of models, Ray or how a cell is computed. `store/README.md` is the contract of the layout.

`folder` paths · `tables` what goes in · `create` (driver only) · `write` and `done` (actors) · `lock` one driver per
store · `read` what analysts use · `compare` two stores.
"""
