"""Figures of paths: a curve per feature that is ever selected, and words where there is no path."""

import numpy as np
import pandas as pd
import pytest

from annulus.figures.lasso import LEARNERS, cv_figure, path_figure
from annulus.modelling.fitting import CV_COLUMNS, PATH_COLUMNS
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import MODELS


def choice(learner):
    return pd.DataFrame({"learner": ["lasso", learner], "chosen": [0, 1]})


def cv_table():
    table = pd.DataFrame({"penalty": [0.3, 0.1], "deviance": [1.3, 1.2], "standard_error": 0.1})
    return table.assign(selected=[0, 2], chosen=[0, 1], rule=["one_se", "minimum"])


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_path_has_a_line_per_feature_and_marks_the_penalty():
    path = pd.DataFrame({"column": ["a", "a", "b", "b"], "penalty": [0.3, 0.1] * 2, "coefficient": 0.1})
    figure = path_figure(
        {"signature_itr": path}, {"signature_itr": cv_table()}, {"signature_itr": choice("lasso")}
    )
    lines = figure.axes[0].lines
    assert len(lines) == 4 and texts(figure) == []
    assert lines[2].get_xdata()[0] == pytest.approx(np.log(0.1))


@pytest.mark.parametrize("learner", sorted(LEARNERS))
def test_a_model_without_a_path_says_which_it_is(learner):
    empty, cv = pd.DataFrame(columns=PATH_COLUMNS), pd.DataFrame(columns=CV_COLUMNS)
    choices = {"signature_itr": choice(learner)}
    wanted = [f"{LEARNERS[learner]}: no path of penalties"]
    assert texts(path_figure({"signature_itr": empty}, {"signature_itr": cv}, choices)) == wanted
    assert texts(cv_figure({"signature_itr": cv}, choices)) == wanted


def test_a_path_on_which_nothing_is_selected_says_so():
    empty = pd.DataFrame(columns=PATH_COLUMNS)
    figure = path_figure(
        {"signature_itr": empty}, {"signature_itr": cv_table()}, {"signature_itr": choice("lasso")}
    )
    assert texts(figure) == ["no feature selected"]


def test_every_model_without_a_path_has_its_words():
    assert set(LEARNERS) == {name for name, (kind, _) in MODELS.items() if kind is not PenalisedLogistic}
