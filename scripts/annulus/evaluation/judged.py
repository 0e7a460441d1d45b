"""What evaluation must know of a model beside its predictions, whoever made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annulus.modelling.frozen import FrozenModel
from annulus.modelling.threshold import CutOff, given_cut_offs


@dataclass(frozen=True)
class Judged:
    """Models by name: their cut-offs, why one was not fitted, what a reader must know of one, and terms."""

    cut_offs: Mapping[str, CutOff]
    absent: Mapping[str, str]
    remarks: Mapping[str, str]
    terms: Mapping[str, Sequence[str]]


def judged_models(models: Sequence[FrozenModel]) -> Judged:
    """Describe frozen models."""
    there = [model for model in models if model.linear is not None]
    return Judged(
        cut_offs={model.name: model.cut_off for model in there if model.cut_off is not None},
        absent={model.name: model.reason for model in models if model.linear is None},
        remarks={model.name: model.reason for model in there if model.reason},
        terms={model.name: model.linear.terms for model in there if model.linear is not None},
    )


def given_models(names: Sequence[str], at: float) -> Judged:
    """Describe models of which nothing is known but their predictions; ``at`` is the cut-off of all."""
    return Judged(cut_offs=given_cut_offs(names, at), absent={}, remarks={}, terms={})
