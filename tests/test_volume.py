"""Baselines beside a signature: the lesion's size, and how far features follow it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.plan import LESION_SIZE
from annulus.modelling.size import lesion_size
from annulus.modelling.volume import volume_correlations, volume_table


def cohort(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    volume = np.exp(rng.normal(size=n) + 0.8 * y)
    table = pd.DataFrame({"volume": volume, "age": rng.normal(55, 9, n), "texture": np.sqrt(volume)})
    return table.set_index(pd.Index([f"P{i}" for i in range(n)])), y


def rois(*rows):
    columns = ["patient_id", "kind", "timepoint", "voxels", "volume_mm3"]
    return pd.DataFrame(rows, columns=columns).assign(image_id=[f"i{row}" for row in range(len(rows))])


def test_the_size_is_that_of_the_lesion_before_therapy():
    table = rois(
        ("A", "tumour", "baseline", 100, 800.0),
        ("A", "tumour", "baseline", 300, 1248.0),
        ("A", "tumour", "post_nst", 1, 1.0),
        ("A", "ring", "baseline", 999, 9999.0),
        ("B", "tumour", "baseline", 64, 512.0),
        ("C", "tumour", "baseline", 0, 0.0),
    )
    assert lesion_size(table, "volume_mm3").to_dict() == {"A": 10.0, "B": 9.0}
    assert lesion_size(table, "voxels").to_dict() == {"A": np.log2(200.0), "B": 6.0}


def test_a_node_is_the_lesion_where_no_tumour_is_outlined():
    table = rois(("A", "node", "post_nst", 32, 64.0), ("A", "ring", "post_nst", 5, 5.0))
    assert lesion_size(table, "volume_mm3").to_dict() == {"A": 6.0}


def test_a_nodes_cortex_is_a_part_of_it():
    table = rois(("A", "node", "baseline", 64, 64.0), ("A", "node", "baseline", 16, 16.0))
    assert lesion_size(table.assign(image_id="i"), "volume_mm3").to_dict() == {"A": 6.0}


def test_nobodys_size_depends_on_other_patients():
    nodes = rois(("A", "node", "post_nst", 32, 64.0), ("B", "node", "baseline", 8, 16.0))
    tumour = rois(("C", "tumour", "baseline", 4, 4.0))
    together = lesion_size(pd.concat([nodes, tumour]), "volume_mm3")
    assert together.to_dict() == {**lesion_size(nodes, "volume_mm3").to_dict(), "C": 2.0}


def test_a_score_that_is_the_volume_adds_nothing_to_it():
    table, y = cohort()
    outcome = pd.Series(y * 1.0, index=table.index)
    predictors = table.assign(**{LESION_SIZE: np.log2(table["volume"])})
    rng = np.random.default_rng(5)
    own = pd.Series(y + rng.normal(size=len(y)), index=table.index)
    selection = pd.DataFrame(
        [("signature_itr", "texture", np.nan), ("signature_itr", "age", "lasso"), ("other", "age", np.nan)],
        columns=["model", "column", "step_removed"],
    )
    scores = {"itr": predictors[LESION_SIZE] * 2.0 + 0.5 * rng.normal(size=len(y)), "ptr": own}
    found = volume_table(selection, predictors, outcome, scores).set_index(["model", "column"])
    assert list(found.index) == [
        ("signature_itr", "radscore_itr"), ("signature_itr", "texture"), ("signature_ptr", "radscore_ptr"),
    ]  # fmt: skip
    assert found.loc[("signature_itr", "texture"), "spearman"] == pytest.approx(1.0)
    assert found.loc[("signature_itr", "radscore_itr"), "p_given_size"] > 0.01
    terms = pd.DataFrame({"score": own, "size": predictors[LESION_SIZE]})
    wanted = likelihood_ratio_tests(terms, y, {"score": ["score"]})["p"][0]
    assert wanted < 1e-4
    assert found.loc[("signature_ptr", "radscore_ptr"), "p_given_size"] == pytest.approx(wanted)


def test_a_feature_that_is_volume_in_disguise_is_shown():
    table, _ = cohort()
    table.loc["P3", "age"] = np.nan
    found = volume_correlations(table[["texture", "age"]].assign(same=1.0), table["volume"]).set_index(
        "column"
    )
    assert found.loc["texture", "spearman"] == pytest.approx(1.0)
    known = table.dropna()
    wanted = stats.spearmanr(known["age"], known["volume"])
    assert found.loc["age", ["spearman", "p"]].tolist() == pytest.approx([wanted.statistic, wanted.pvalue])
    assert found["n"].tolist() == [200, 199, 200]
    assert np.isnan(found.loc["same", "spearman"])


def test_volumes_are_matched_by_patient_and_not_by_row():
    table, _ = cohort()
    turned = table["volume"].iloc[::-1]
    assert volume_correlations(table[["texture"]], turned)["spearman"][0] == pytest.approx(1.0)
