"""Features of several timepoints side by side, and their changes."""

import numpy as np
import pandas as pd
import pytest

from annulus.errors import StudyError
from annulus.features.timepoints import by_patient

TIMES = {"pre": "baseline", "post": "post_nst"}
COLUMN = "us_node_original_firstorder_Mean"


@pytest.fixture
def features():
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "b"],
            "timepoint": ["baseline", "post_nst", "baseline"],
            COLUMN: [-4.0, 5.0, 2.0],
            "us_ring2_original_firstorder_Mean": [2.0, 6.0, 0.0],
        }
    )


@pytest.mark.parametrize(
    ("kind", "node", "ring"),
    [("difference", 9.0, 4.0), ("relative", 2.25, 2.0), ("log_ratio", np.nan, np.log(3.0))],
)
def test_changes_are_from_the_one_time_to_the_other(features, kind, node, ring):
    changes = {"delta": {"from": "pre", "to": "post", "kind": kind}}
    table = by_patient(features, ["us"], TIMES, changes).set_index("patient_id")
    assert table.loc["a", "us_nodepre_original_firstorder_Mean"] == -4.0
    assert table.loc["a", "us_nodepost_original_firstorder_Mean"] == 5.0
    assert table.loc["a", "us_nodedelta_original_firstorder_Mean"] == pytest.approx(node, nan_ok=True)
    assert table.loc["a", "us_ring2delta_original_firstorder_Mean"] == pytest.approx(ring, nan_ok=True)


def test_a_patient_without_an_image_of_one_time_misses_it_and_the_change(features):
    changes = {"delta": {"from": "pre", "to": "post", "kind": "difference"}}
    table = by_patient(features, ["us"], TIMES, changes).set_index("patient_id")
    own = table.loc["b"].rename(lambda name: name.split("_")[1])
    assert own["nodepre"] == 2.0
    assert own[["nodepost", "nodedelta", "ring2post", "ring2delta"]].isna().all()


def test_several_timepoints_without_names_are_refused(features):
    with pytest.raises(StudyError, match="patient a was imaged at several timepoints"):
        by_patient(features, ["us"], {}, {})
    single = by_patient(features.iloc[[0, 2]], ["us"], {}, {})
    assert list(single) == ["patient_id", COLUMN, "us_ring2_original_firstorder_Mean"]


def test_a_time_at_which_nobody_was_imaged_is_refused(features):
    with pytest.raises(StudyError, match="no image was taken at post_nst"):
        by_patient(features[features["timepoint"] == "baseline"], ["us"], TIMES, {})
