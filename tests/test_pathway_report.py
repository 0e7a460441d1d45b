"""A pathway in the report: every class, reason and flag is counted, and performance has its interval."""

import pandas as pd

from annulus.evaluation.pathway import PATIENT_COLUMNS, pathway_performance
from annulus.reporting.pathways import pathway_parts

PLAN = {"outcome": "residual_nodal_disease", "positive": [1], "negative": [0]}


def patients():
    rows = [
        ("a", "train", None, "suspicious", "biopsy", 0, None),
        ("b", "train", None, "suspicious", "biopsy", 1, "P5_limited;P9_near_threshold"),
        ("c", "internal_test", None, "normal", "slnb_tad", 0, "P7_normal_is_not_pcr;P9_near_threshold"),
        ("d", None, "during_therapy", None, None, None, None),
    ]
    return pd.DataFrame(rows, columns=PATIENT_COLUMNS)


def test_everybody_is_counted_once():
    people = pd.DataFrame({"patient_id": list("abcd"), "residual_nodal_disease": ["1", "0", "0", None]})
    table = pathway_performance(patients(), people, "axilla", PLAN, True)
    found = pathway_parts("axilla", PLAN, patients(), table)
    assert {row["class"]: row["n"] for row in found["classes"]} == {
        "suspicious": 2, "limited or discordant": 0, "indeterminate": 0, "normal": 1,
    }  # fmt: skip
    assert found["classes"][0]["steps"] == [("biopsy", 2)]
    assert found["not_applicable"] == [("during therapy", 1)]
    assert dict(found["flags"]) == {"P9 near threshold": 2, "P5 limited": 1, "P7 normal is not pcr": 1}
    assert found["mdt"] == 1
    first = found["performance"][0]
    assert (first["reading"], first["cohort"], first["n"], first["events"]) == (
        "suspicious alone",
        "All",
        3,
        1,
    )
    # 1 of 1 and 1 of 2: Clopper-Pearson's ends by hand.
    assert first["values"][:2] == ["1.000 (0.025–1.000)", "0.500 (0.013–0.987)"]
