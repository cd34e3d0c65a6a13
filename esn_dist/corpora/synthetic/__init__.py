"""A synthetic corpus of emotional speech: deterministic, made on demand, read back like any other corpus."""

from esn_dist.corpora.synthetic.acoustics import CONDITIONS
from esn_dist.corpora.synthetic.materialise import SYNTHETIC_SPLITS, materialise
from esn_dist.corpora.synthetic.speech import SYNTHETIC_EMOTIONS

__all__ = ["CONDITIONS", "SYNTHETIC_EMOTIONS", "SYNTHETIC_SPLITS", "materialise"]
