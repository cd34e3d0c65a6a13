"""What the cells of one unit do to the gates: stored rows and masks in, gate transforms out.

The table of masks is read once for all cells. Knows no prompts and no answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name

import numpy as np
import numpy.typing as npt

from esn_dist.errors import UserError
from esn_dist.gates.find import Gate
from esn_dist.gates.protocols import GateTransform
from esn_dist.gates.scale import ScaleMethod
from esn_dist.gates.transform import GateTransformBuilder, TransformRequest
from esn_dist.store.folder import StoreFolder
from esn_dist.store.read import read_masks, read_members
from esn_dist.store.tables import CellTable, MaskTable
from esn_dist.sweep.interventions import INTERVENTIONS, intervention_provider
from esn_dist.sweep.records import Record, mask_of, parameters_of


@dataclass(frozen=True, slots=True)
class CellTransforms:
    """Builds gate transforms for one model.

    Attributes:
        gates: of every layer.
        scaling: how gates are scaled where the type of intervention leaves the choice.
        kernels: whether packed gates on a GPU are scaled by Triton kernels.
    """

    folder: StoreFolder
    model: str
    gates: Sequence[Gate]
    scaling: ScaleMethod
    kernels: bool

    def of(self, cells: CellTable) -> list[GateTransform | None]:
        """One transform per cell; None for the baseline.

        Raises:
            UserError: a mask is not written yet, or the package of a cell's type is not installed in its version.
        """
        _refuse_other_providers(cells)
        masks = read_masks(self.folder, self.model)
        records = [cells.record(row) for row in range(len(cells))]
        needed = [self._masks_of(record, masks) for record in records]
        members = read_members(self.folder, self.model, masks, {id for ids in needed for id in ids})
        return [
            self._build(record, np.stack([members[id] for id in ids])) if ids else None
            for record, ids in zip(records, needed, strict=True)
        ]

    def _masks_of(self, cell: Record, masks: MaskTable) -> list[str]:
        """Ids of the masks that the transform of a cell gets: that of each emotion, or their union alone."""
        if not cell["mask"]:
            return []
        if not INTERVENTIONS.require(cell["intervention"]).separate_masks:
            return [cell["mask"]]
        row = masks.row_by_id()[cell["mask"]]
        return [key.id for key in mask_of(self.model, masks.record(row)).emotion_masks]

    def _build(self, cell: Record, masks_ELN: npt.NDArray[np.bool_]) -> GateTransform:
        entry = INTERVENTIONS.require(cell["intervention"])
        build: GateTransformBuilder = resolve_name(entry.transform)
        scaling: ScaleMethod = "gate" if entry.gate_path else self.scaling
        return build(TransformRequest(self.gates, masks_ELN, cell["alpha"], parameters_of(cell), scaling, self.kernels))


def _refuse_other_providers(cells: CellTable) -> None:
    """A cell is what the version of the package computes that it was planned with."""
    for name, provider in sorted(set(zip(cells.intervention, cells.provider, strict=True))):
        if provider and (installed := intervention_provider(name) if name in INTERVENTIONS else "") != provider:
            raise UserError(
                f"cells of {name} need {provider}; installed: {installed or 'none'}",
                fix="install that version on every machine, or go on in another store with --store FOLDER",
            )
