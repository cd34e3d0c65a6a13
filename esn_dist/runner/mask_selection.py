"""The select step: stored counts of correctly answered utterances → one mask, written back. The driver executes it.

Knows NumPy and the store; knows no Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.errors import UserError
from esn_dist.runner.selection_inputs import CountSource, SelectionInputs
from esn_dist.selection.masks import budget, layer_matched_mask, random_mask, top_neurons
from esn_dist.selection.selection_input import Scores, scores_of
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import read_mask_file
from esn_dist.store.read import read_masks, read_model
from esn_dist.store.write import write_masks
from esn_dist.sweep.keys import MaskKey
from esn_dist.sweep.mask_files import content_hash, file_label
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.selectors import FROM_FILE, RND, matched_selector, selector_provider
from esn_dist.terms import JOIN


class MaskSelection:
    """Masks of one model, computed on demand; what several masks share (counts, scores) is computed once.

    Args:
        emotions, caps: by identification corpus.
        files: paths of the sweep's mask files, by the label that their masks have in the place of a corpus.
        seed: the sweep's, for the RND masks.
    """

    def __init__(
        self,
        folder: StoreFolder,
        model: str,
        emotions: dict[str, tuple[str, ...]],
        caps: dict[str, int],
        seed: int,
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self.folder, self.model, self.emotions, self.seed, self.files = folder, model, emotions, seed, files
        facts = read_model(folder, model) or {}
        self.shape: tuple[int, int] = (facts["layers"], facts["width"])
        self.rows = read_masks(folder, model).row_by_id()
        self.inputs = SelectionInputs(folder, model, emotions, caps, tuple(read_mask_keys(folder, model).values()))
        self._scores = lru_cache(maxsize=4)(self._score)
        self._file = lru_cache(maxsize=1)(self._read_file)
        self._provider = lru_cache(maxsize=None)(selector_provider)

    def write(self, mask: MaskKey) -> list[str]:
        """Compute and write `mask`; returns the files written.

        Raises:
            NothingIdentified: an emotion has no correctly answered utterance, so no mask can be selected.
            UserError: the mask is of an older plan, and its corpus, file or selector is not there any more.
        """
        self._refuse_removed_corpus(mask)
        self._refuse_other_provider(mask)
        singles = [self._single(single) for single in mask.emotion_masks]
        member_LN = np.logical_or.reduce([member_LN for member_LN, _ in singles])
        row = self.rows[mask.id]
        return write_masks(
            self.folder, self.model, slice(row, row + 1), member=member_LN[None], identified=np.array([singles[0][1]])
        )

    def _single(self, mask: MaskKey) -> tuple[npt.NDArray[np.bool_], int]:
        """member[layer, neuron] of one emotion (or of none: RND), and utterances per emotion that it uses."""
        layers, width = self.shape
        if mask.selector == FROM_FILE:
            return self._from_file(mask)
        neurons = budget(mask.fraction, layers * width)
        if mask.selector == RND:
            emotion = (mask.emotion,) if mask.emotion else ()
            return random_mask(layers, width, neurons, self.seed, self.model, mask.seed, *emotion), 0
        matched = matched_selector(mask.selector)
        scores_ELN, utterances = self._scores(matched or mask.selector, CountSource.of(mask))
        member_LN = top_neurons(scores_ELN[[self.inputs.emotions_of(mask.sources).index(mask.emotion)]], neurons)[0]
        if matched:
            member_LN = layer_matched_mask(member_LN, self.seed, self.model, mask.seed, mask.selector, mask.emotion)
        return member_LN, utterances

    def _score(self, selector: str, source: CountSource) -> tuple[Scores, int]:
        """Scores[emotion, layer, neuron], and how many utterances of each emotion they come from."""
        inputs, utterances = self.inputs.input(source)
        return scores_of(selector, inputs), utterances

    def _from_file(self, mask: MaskKey) -> tuple[npt.NDArray[np.bool_], int]:
        """member[layer, neuron] as the file has it, and the number of utterances that the file gives."""
        masks = self._file(mask.corpus)
        matches = (masks["source_emotion"] == mask.emotion) & (masks["mask_seed"] == mask.seed)
        stored = masks.isel(mask=matches.values)
        member_LN = stored["member"].values[0]
        if member_LN.shape != self.shape:
            raise UserError(f"the masks of {mask.corpus} have the shape {member_LN.shape}", expected=str(self.shape))
        return member_LN, int(stored["identified"].values[0])

    def _read_file(self, label: str) -> xr.Dataset:
        path = self.files.get(label)
        if path is None or file_label(content_hash(path)) != label:
            raise UserError(
                f"the mask file of an unfinished mask, {label}, was removed from the sweep, or changed",
                where=str(path or self.folder.root), fix="put the file back, as it was, into `mask_files` of a study",
            )  # fmt: skip
        return read_mask_file(path)

    def _refuse_removed_corpus(self, mask: MaskKey) -> None:
        if removed := [corpus for corpus in mask.sources if corpus not in self.emotions]:
            raise UserError(
                f"corpus {JOIN.join(removed)} was removed from the sweep, but a mask still needs it",
                where=self._where(mask),
                fix="put the corpus back until its cells are answered, or go on in another store with --store FOLDER",
            )

    def _refuse_other_provider(self, mask: MaskKey) -> None:
        """A mask is what the version of the package computes that it was planned with."""
        if (installed := self._provider(mask.selector)) != mask.provider:
            raise UserError(
                f"masks of {mask.selector} need {mask.provider or 'esn_dist itself'}; installed: {installed or 'none'}",
                where=self._where(mask),
                fix="install that version until its masks are selected, or go on in another store with --store FOLDER",
            )

    def _where(self, mask: MaskKey) -> str:
        return f"{mask.selector} of {mask.emotion}, r = {mask.fraction}, in {self.folder.root}"
