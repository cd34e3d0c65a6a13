"""The select step: stored counts of correctly answered utterances → one mask, written back; the driver's own unit.

Knows nothing of Ray; NumPy and the store only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import xarray as xr

from esn_dist.errors import UserError
from esn_dist.selection.count_passes import sum_counts, utterance_counts
from esn_dist.selection.count_sums import CountSums
from esn_dist.selection.firing import pooled_firing
from esn_dist.selection.identification_sets import counted_utterances, identification_sets, shared_emotions
from esn_dist.selection.masks import budget, layer_matched_mask, random_mask, top
from esn_dist.selection.selection_input import Scores, SelectionInput, UtteranceCounts, scores_of
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import read_mask_file
from esn_dist.store.read import read_masks, read_model
from esn_dist.store.write import write_masks
from esn_dist.sweep.keys import IdentificationSize, MaskKey
from esn_dist.sweep.mask_files import content_hash, file_label
from esn_dist.sweep.records import read_mask_keys
from esn_dist.sweep.selectors import FILE, RND, matched_selector
from esn_dist.terms import JOIN, PARTS


@dataclass(frozen=True, slots=True)
class CountSource:
    """The counts that a mask rests on: corpora joined by "+", requested size, and counted parts."""

    corpora: str
    size: IdentificationSize
    parts: tuple[str, ...]

    @classmethod
    def of(cls, mask: MaskKey) -> CountSource:
        """Raises ValueError for a mask that rests on no counts."""
        if mask.size == "":
            raise ValueError(f"a mask of {mask.selector} rests on no counts")
        return cls(mask.corpus, mask.size, mask.parts)

    @property
    def names(self) -> list[str]:
        """Of the corpora."""
        return self.corpora.split(JOIN)


class MaskSelection:
    """Masks of one model, computed on demand; what several masks share (counts, scores) is computed once.

    Args:
        emotions, caps: by identification corpus.
        files: paths of the sweep's mask files, by what stands for a corpus in their masks.
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
        self.folder, self.model, self.emotions, self.caps, self.seed = folder, model, emotions, caps, seed
        self.files = files
        facts = read_model(folder, model) or {}
        self.shape: tuple[int, int] = (facts["layers"], facts["width"])
        self.rows = read_masks(folder, model).named()
        self.masks = tuple(read_mask_keys(folder, model).values())
        self._scores = lru_cache(maxsize=4)(self._score)
        self._inputs = lru_cache(maxsize=1)(self._input)
        self._sums = lru_cache(maxsize=1)(self._sum)
        self._file = lru_cache(maxsize=1)(self._read_file)

    def write(self, mask: MaskKey) -> list[str]:
        """Compute and write `mask`; returns the files written.

        Raises:
            NothingIdentified: an emotion has no correctly answered utterance, so the mask cannot exist.
            UserError: the mask is of an older plan, and what it was to be identified on left the sweep.
        """
        self._refuse_orphan(mask)
        singles = [self._single(single) for single in mask.emotion_masks]
        member_LN = np.logical_or.reduce([member_LN for member_LN, _ in singles])
        row = self.rows[mask.id]
        return write_masks(
            self.folder, self.model, slice(row, row + 1), member=member_LN[None], identified=np.array([singles[0][1]])
        )

    def _single(self, mask: MaskKey) -> tuple[npt.NDArray[np.bool_], int]:
        """member[layer, neuron] of one emotion (or of none: RND), and utterances per emotion that it rests on."""
        layers, width = self.shape
        if mask.selector == FILE:
            return self._from_file(mask)
        members = budget(mask.fraction, layers * width)
        if mask.selector == RND:
            stand_in = (mask.emotion,) if mask.emotion else ()
            return random_mask(layers, width, members, self.seed, self.model, mask.seed, *stand_in), 0
        matched = matched_selector(mask.selector)
        scores_ELN, used = self._scores(matched or mask.selector, CountSource.of(mask))
        member_LN = top(scores_ELN[[self._emotions(mask.sources).index(mask.emotion)]], members)[0]
        if matched:
            member_LN = layer_matched_mask(member_LN, self.seed, self.model, mask.seed, mask.selector, mask.emotion)
        return member_LN, used

    def _from_file(self, mask: MaskKey) -> tuple[npt.NDArray[np.bool_], int]:
        """As the file has it; the utterances that it rests on are those that the file names."""
        masks = self._file(mask.corpus)
        own = (masks["source_emotion"] == mask.emotion) & (masks["mask_seed"] == mask.seed)
        one = masks.isel(mask=own.values)
        member_LN = one["member"].values[0]
        if member_LN.shape != self.shape:
            raise UserError(f"the masks of {mask.corpus} have the shape {member_LN.shape}", expected=str(self.shape))
        return member_LN, int(one["identified"].values[0])

    def _read_file(self, label: str) -> xr.Dataset:
        path = self.files.get(label)
        if path is None or file_label(content_hash(path)) != label:
            raise UserError(
                f"a mask from {label} is still to be written, and the sweep has no such mask file any more",
                where=str(path or self.folder.root), fix="put the file back, as it was, into `mask_files` of a study",
            )  # fmt: skip
        return read_mask_file(path)

    def _refuse_orphan(self, mask: MaskKey) -> None:
        if lost := [corpus for corpus in mask.sources if corpus not in self.emotions]:
            raise UserError(
                f"a mask from {JOIN.join(lost)} is still to be selected, and the sweep has no such corpus any more",
                where=f"{mask.selector} of {mask.emotion}, r = {mask.fraction}, in {self.folder.root}",
                fix="put the corpus back until its cells are answered, or go on in another store with --store FOLDER",
            )

    def _emotions(self, corpora: Sequence[str]) -> tuple[str, ...]:
        return shared_emotions([self.emotions[corpus] for corpus in corpora])

    def _score(self, selector: str, source: CountSource) -> tuple[Scores, int]:
        """Scores[emotion, layer, neuron], and how many utterances of each emotion they rest on."""
        inputs, used = self._inputs(source)
        return scores_of(selector, inputs), used

    def _input(self, source: CountSource) -> tuple[SelectionInput, int]:
        """K and T of all corpora together, and how many utterances of each emotion they rest on."""
        sums = self._sums(source.corpora, source.parts)[source.size]
        firing = pooled_firing([of_corpus.firing() for of_corpus in sums])

        def stream() -> Iterator[UtteranceCounts]:
            for name, of_corpus in zip(source.names, sums, strict=True):
                yield from utterance_counts(of_corpus.identified, of_corpus.parts, self.folder, self.model, name)

        inputs = SelectionInput(firing.emotions, firing.K, firing.T, stream)
        return inputs, sum(of_corpus.identified.size for of_corpus in sums)

    def _sum(self, corpora: str, parts: tuple[str, ...]) -> dict[IdentificationSize, list[CountSums]]:
        """For each size that any mask requests, one sum per corpus.

        All come from one reading of the counts, since a study of sizes has many of them.
        """
        names, part_rows = corpora.split(JOIN), [PARTS.index(part) for part in parts]
        candidates = [counted_utterances(self.folder, self.model, name) for name in names]
        caps = [self.caps[name] for name in names]
        sums: dict[IdentificationSize, list[CountSums]] = {}
        for size in dict.fromkeys(m.size for m in self.masks if (m.corpus, m.parts) == (corpora, parts) and m.size):
            chosen = identification_sets(candidates, self._emotions(names), size, caps)
            sums[size] = [CountSums(of_corpus, part_rows) for of_corpus in chosen]
        for index, name in enumerate(names):
            sum_counts([of_size[index] for of_size in sums.values()], self.folder, self.model, name)
        return sums
