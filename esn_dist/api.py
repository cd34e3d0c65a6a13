"""`esn_dist.open(FOLDER)`: a finished or running sweep as xarray objects, for notebooks and scripts.

Opening reads a few bytes. A method reads only what it returns, in slices, and never loads torch or Ray. The name of a
model or corpus may be left out where the store has only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from esn_dist.analysis.bootstrap import BOOTSTRAP_DRAWS
from esn_dist.analysis.identification import IdentificationPool, identification_pool
from esn_dist.errors import UserError, did_you_mean
from esn_dist.selection.masks import budget, top_neurons
from esn_dist.selection.selection_input import scores_of
from esn_dist.store.folder import StoreFolder
from esn_dist.store.maskfile import write_mask_file
from esn_dist.store.read import Description, describe, open_answers, open_counts, open_masks, read_model, read_texts
from esn_dist.sweep.keys import IdentificationSize
from esn_dist.terms import JOIN, PARTS

NEURONS = ("emotion", "layer", "neuron")


def open_sweep(path: str | Path) -> OpenSweep:
    """The sweep in a folder such as `store/quickstart`, or in its `data.zarr`.

    Raises:
        UserError: the folder has no store, or one of a newer version.
    """
    root = Path(path)
    folder = StoreFolder(root.parent if root.name == "data.zarr" else root)
    folder.require()
    return OpenSweep(folder)


class OpenSweep:
    """One store, read-only. Names of models and corpora: `models`, `corpora`."""

    def __init__(self, folder: StoreFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<sweep {self.folder.root}: models {', '.join(self.models)}; corpora {', '.join(self.corpora)}>"

    @cached_property
    def description(self) -> Description:
        """What the store holds: attributes, corpora, models."""
        return describe(self.folder)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.description.models)

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the corpora."""
        return tuple(self.description.corpora)

    def counts(self, model: str | None = None, corpus: str | None = None) -> xr.Dataset:
        """K[utterance, part, layer, neuron] and T[utterance, part] with the unintervened answers, lazy.

        K of a full-size study is tens of gigabytes: take slices, or use `probability`, which sums it shard by shard.
        """
        return open_counts(self.folder, self._model(model), self._corpus(corpus))

    def answers(self, model: str | None = None, corpus: str | None = None, *, complete: bool = True) -> xr.Dataset:
        """answer[cell, utterance], outcome, logprob[cell, utterance, emotion], option_number[utterance, emotion], lazy.

        `complete=False` also gives cells that are not (wholly) answered yet.
        """
        return open_answers(self.folder, self._model(model), self._corpus(corpus), complete=complete)

    def texts(self, cell: str, model: str | None = None, corpus: str | None = None) -> xr.Dataset:
        """text[utterance]: output of the model in one cell (an id of `answers(...).cell`), and truncated[utterance]."""
        return read_texts(self.folder, self._model(model), self._corpus(corpus), cell)

    def masks(self, model: str | None = None) -> xr.Dataset:
        """The masks that the sweep used: member[mask, layer, neuron] (lazy), size, identified and budget [mask]."""
        return open_masks(self.folder, self._model(model))

    def probability(
        self,
        model: str | None = None,
        corpus: str | None = None,
        *,
        parts: Sequence[str] = PARTS,
        size: IdentificationSize = "auto",
        cap: int | None = None,
        all_items: bool = False,
    ) -> xr.DataArray:
        """Firing probability P[emotion, layer, neuron] = K / T (paper §3.1).

        Args:
            parts: positions that are counted: some of "audio", "text", "generated".
            size: utterances of each emotion; "auto": as many as the rarest emotion has.
            cap: most utterances of each emotion; default: the cap of the sweep.
            all_items: use utterances that the unintervened model answered wrongly, too.
        """
        chosen = self.identification(model, corpus, parts=parts, size=size, cap=cap, all_items=all_items)
        return _named(chosen, chosen.firing().probability, "probability")

    def mask(
        self,
        selector: str,
        fraction: str,
        model: str | None = None,
        corpus: str | None = None,
        *,
        parts: Sequence[str] = PARTS,
        size: IdentificationSize = "auto",
        cap: int | None = None,
        all_items: bool = False,
    ) -> xr.DataArray:
        """A selector's masks computed from the counts: member[emotion, layer, neuron].

        Args:
            selector: a registered selector that needs only sums, such as MAD.
            fraction: r as decimal text, such as "0.005".
            parts, size, cap, all_items: as in `probability`; the defaults give the masks of a sweep with defaults.
        """
        chosen = self.identification(model, corpus, parts=parts, size=size, cap=cap, all_items=all_items)
        member = top_neurons(scores_of(selector, chosen.firing()), budget(fraction, self._neurons(chosen.model)))
        return _named(chosen, member, "member").assign_attrs(selector=selector, fraction=str(fraction))

    def scores(self, selector: str, model: str | None = None, corpus: str | None = None, **pool: Any) -> xr.DataArray:
        """A selector's scores[emotion, layer, neuron] (-inf = never selected); keywords as in `probability`."""
        chosen = self.identification(model, corpus, **pool)
        return _named(chosen, scores_of(selector, chosen.firing()), "score").assign_attrs(selector=selector)

    def identification(self, model: str | None = None, corpus: str | None = None, **options: Any) -> IdentificationPool:
        """The identification pool that `probability` and `mask` use, e.g. for `analysis.stability.mask_stability`.

        Joined corpora, such as `iemocap+meld`, contribute equal numbers of utterances.
        """
        joined = JOIN.join(self._corpus(name) for name in corpus.split(JOIN)) if corpus else self._corpus(corpus)
        return identification_pool(self.folder, self._model(model), joined, **options)

    def effects(
        self,
        model: str | None = None,
        corpus: str | None = None,
        *,
        draws: int = BOOTSTRAP_DRAWS,
        seed: int = 0,
        by_speaker: bool = False,
        invalid_is_wrong: bool = True,
    ) -> xr.Dataset:
        """change[condition, source, evaluation] in points, margin in nats; self_effect, cross_effect, gap with bounds.

        2-Pass, which the steering cells imply, is among the conditions, as in the report.

        Args:
            draws: bootstrap resamples.
            seed: seed of the resamples.
            by_speaker: resample speakers instead of utterances.
            invalid_is_wrong: count an answer that names no option as wrong; else leave its pairs out.
        """
        from esn_dist.analysis.effects_dataset import effects_dataset
        from esn_dist.analysis.measured_effects import EffectSettings, measure
        from esn_dist.analysis.two_pass import with_two_pass

        answers = with_two_pass(self.answers(model, corpus).load())
        return effects_dataset(measure(answers, EffectSettings(draws, seed, by_speaker, invalid_is_wrong)))

    def export_masks(self, path: str | Path, model: str | None = None, **wanted: Sequence[str]) -> int:
        """Write masks as one JSON file, which `esn_dist.store.maskfile.read_mask_file` reads back; returns how many.

        Args:
            path: the file.
            wanted: only masks with these coordinates, e.g. `selector=["MAD"]`, `source_emotion=["joy"]`.

        Raises:
            UserError: no mask matches all filters.
        """
        name = self._model(model)
        masks = self.masks(name)
        kept = np.full(masks.sizes["mask"], True)
        for coordinate, words in wanted.items():
            known = sorted({str(word) for word in masks[coordinate].values} - {""})
            for word in words:
                _known_name(word, known, coordinate.replace("_", " "), self.folder)
            kept &= np.isin(masks[coordinate].values, list(words))
        if not kept.any():
            raise UserError("no mask matches all filters", where=str(self.folder.root), fix="remove a filter")
        write_mask_file(Path(path), masks.isel(mask=kept), read_model(self.folder, name) or {})
        return int(kept.sum())

    def _model(self, name: str | None) -> str:
        return _known_name(name, self.models, "model", self.folder)

    def _corpus(self, name: str | None) -> str:
        return _known_name(name, self.corpora, "corpus", self.folder)

    def _neurons(self, model: str) -> int:
        facts = self.description.models[model]
        return int(facts["layers"] * facts["width"])


def _named(chosen: IdentificationPool, values: np.ndarray, name: str) -> xr.DataArray:
    attributes = {"model": chosen.model, "corpus": chosen.corpus, "identified": chosen.chosen.size}
    return xr.DataArray(
        values, dims=NEURONS, coords={"emotion": list(chosen.chosen.emotions)}, name=name, attrs=attributes
    )


def _known_name(name: str | None, known: Sequence[str], what: str, folder: StoreFolder) -> str:
    """`name` if it is known; without a name, the only known one."""
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        several = {"corpus": "corpora"}.get(what, f"{what}s")
        unnamed = f"the store has several {several}; name one" if known else f"the store has no {several}"
        problem = unnamed if name is None else f"unknown {what} {name!r}.{did_you_mean(name, known)}"
        raise UserError(problem, where=str(folder.root), expected=f"one of {', '.join(known)}" if known else "none yet")
    return name
