"""A synthetic corpus of emotional speech: deterministic, made on demand, read back like any other corpus."""

from esn_dist.corpora.synthetic.acoustics import CONDITIONS
from esn_dist.corpora.synthetic.materialise import SPLITS, materialise
from esn_dist.corpora.synthetic.speech import EMOTIONS

__all__ = ["CONDITIONS", "EMOTIONS", "SPLITS", "materialise"]
