"""Public datasets as they are unpacked become our two tables: real parts, and imitations of the others."""

import csv
import datetime
import glob
import json
import sys
import zipfile
from fractions import Fraction
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
import yaml
from conftest import copy_project, planned_jobs, run
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.cohort.checks import check_cohort
from annulus.cohort.listing import Folder, number_text, table_file, table_files
from annulus.cohort.sources import UNMAPPED, listed_digest, manifest_rows, read_source
from annulus.config import problems as schema_problems
from annulus.config import read_yaml
from annulus.errors import StudyError

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
ADAPTERS = ("bus_bra", "busi", "breast_lesions_usg", "mama_mia", "duke_breast_mri", "cdd_cesm")


def needs(place):
    """Skip loudly where a public dataset is not at hand."""
    return pytest.mark.skipif(
        not place.exists(), reason=f"NOT TESTED ON PUBLIC DATA: {place} is not there; see {place.parents[1]}"
    )


def adapter(name, folder=None):
    """Read an adapter as a study does; a folder replaces its own."""
    cohort = read_yaml(ROOT / "config" / "cohorts" / f"{name}.yaml")
    assert schema_problems(cohort, read_yaml(ROOT / "workflow/schemas/cohort.schema.yaml")) == []
    if folder:
        cohort["folder"] = str(folder)
    elif not Path(cohort["folder"]).is_absolute():
        cohort["folder"] = str(ROOT / cohort["folder"])
    return cohort


def checked(cohort):
    """Return participants, manifest rows and problems of a cohort."""
    folder, people, pictures = cohort["folder"], cohort["participants"], cohort["images"]
    patients, problems = check_cohort(
        table_file(folder, people), people, table_file(folder, pictures), pictures, folder, []
    )
    rows = manifest_rows(read_source(folder, pictures), {patient["patient_id"] for patient in patients})
    return patients, rows, problems


def column(number):
    """Name a column of a sheet: 0 is A, 26 is AA."""
    name = ""
    while number >= 0:
        name, number = chr(65 + number % 26) + name, number // 26 - 1
    return name


def cell(value, place):
    """Write one cell of a sheet; the second style is a date."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.date):
        return f'<c r="{place}" s="1"><v>{(value - datetime.date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def workbook(path, **sheets):
    """Write a small workbook, a list of rows per sheet."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    numbers = range(1, len(sheets) + 1)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kinds}.styles+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kinds}.worksheet+xml"/>'
            for n in numbers
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{links}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets>'
        + "".join(
            f'<sheet name="{escape(name)}" sheetId="{n}" r:id="r{n}"/>'
            for n, name in zip(numbers, sheets, strict=True)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{links}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        + f'<Relationship Id="styles" Type="{links}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><fonts count="1"><font/></fonts>'
        '<fills count="1"><fill/></fills><borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
    }
    for n, rows in zip(numbers, sheets.values(), strict=True):
        lines = (
            f'<row r="{r}">' + "".join(cell(v, f"{column(c)}{r}") for c, v in enumerate(row)) + "</row>"
            for r, row in enumerate(rows, start=1)
        )
        sheet = f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        parts[f"xl/worksheets/sheet{n}.xml"] = sheet
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    return path


def table(path, *lines):
    """Write a CSV file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def touch(folder, *names):
    """Make empty files and the folders above them."""
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")


def manifest_row(**more):
    """Return a row with the defaults of the manifest."""
    return {"timepoint": "baseline", "view": "na", "rater": "1", "lesion": "1"} | more


# --- the adapters ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_says_what_must_be_cited_and_allowed(name):
    cohort = adapter(name)
    assert cohort["name"] == name
    assert "doi 10." in cohort["citation"]
    assert cohort["licence"]
    # Only where the licence clearly lets anyone hand pictures on.
    assert cohort["redistribution"] is (name in {"bus_bra", "breast_lesions_usg"})


@needs(DATA / "bus-bra")
def test_the_real_part_of_bus_bra():
    patients, rows, problems = checked(adapter("bus_bra"))
    assert problems == []
    assert (len(patients), len(rows)) == (354, 623)
    assert patients[0].keys() == {"patient_id", "malignant", "us_birads", "device"}
    assert rows[0] == manifest_row(
        patient_id="3", image_id="bus_0003-l", modality="US", series="bmode",
        image_path="Images/bus_0003-l.png", mask_path="Masks/mask_0003-l.png", mask_role="tumour",
    )  # fmt: skip


@needs(DATA / "busi")
def test_the_real_part_of_busi():
    cohort = adapter("busi")
    patients, rows, problems = checked(cohort)
    assert problems == []
    # 125 cases were taken; the 10 without a lesion are left out.
    assert len(patients) == len(rows) == 115
    assert sum(patient["malignant"] for patient in patients) == 40
    by_image = {row["image_id"]: row for row in rows}
    assert by_image["benign (4)"] == manifest_row(
        patient_id="benign (4)", image_id="benign (4)", modality="US", series="bmode",
        image_path="benign/benign (4).png", mask_role="tumour",
        mask_path="benign/benign (4)_mask.png;benign/benign (4)_mask_1.png",
    )  # fmt: skip
    several = {name for name, row in by_image.items() if ";" in row["mask_path"]}
    assert several == {f"benign ({n})" for n in (4, 25, 54, 58)}
    masks = [path for row in rows for path in row["mask_path"].split(";")]
    here = {str(p.relative_to(cohort["folder"])) for p in Path(cohort["folder"]).glob("[bm]*/*_mask*.png")}
    assert len(masks) == len(here)
    assert set(masks) == here


def breast_lesions(folder, *more):
    """Imitate BrEaST with the published names of files, sheet and columns."""
    header = [
        "CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename", "Pixel_size", "Age",
        "Tissue_composition", "Signs", "Symptoms", "Shape", "Margin", "Echogenicity", "Posterior_features",
        "Halo", "Calcifications", "Skin_thickening", "Interpretation", "BIRADS", "Verification", "Diagnosis",
        "Classification",
    ]  # fmt: skip
    rows = [
        [1, "case001.png", "case001_tumor.png", None, 0.0076, 57, "lactating&homogeneous: fat", "palpable",
         "no", "irregular", "not circumscribed - angular&indistinct", "complex cystic/solid", "no", "no",
         "no", "no", "Suspicion of malignancy", "4c", "confirmed by biopsy", "IDC", "malignant"],
        [2, "case002.png", "case002_tumor1.png&case002_tumor2.png", "case002_other1.png&case002_other2.png",
         0.007, "not available", "homogeneous: fat", "no", "no", "not applicable", "not applicable",
         "not applicable", "not applicable", "no", "no", "no", "Cyst", 2, "follow-up", "Cyst", "benign"],
        [45, "case045.png", None, None, 0.01, 40, "homogeneous: fat", "no", "no", "not applicable",
         "not applicable", "not applicable", "not applicable", "no", "no", "no", "Normal", 1,
         "not applicable", "not applicable", "normal"],
        *more,
    ]  # fmt: skip
    workbook(
        folder / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
        **{"BrEaST-Lesions-USG clinical dat": [header, *rows], "Data dictionary": [["Name"], ["CaseID"]]},
    )
    names = ("case001", "case001_tumor", "case002", "case002_tumor1", "case002_tumor2", "case045")
    touch(folder / "BrEaST-Lesions_USG-images_and_masks", *(f"{name}.png" for name in names))
    return adapter("breast_lesions_usg", folder)


def test_an_imitation_of_breast_lesions_usg(tmp_path):
    patients, rows, problems = checked(breast_lesions(tmp_path))
    assert problems == []
    assert patients == [
        {"patient_id": "1", "malignant": 1, "age_years": 57.0, "us_birads": "4C", "us_shape": "irregular",
         "us_margin": "angular", "us_echo": "complex", "us_posterior": "none"},
        {"patient_id": "2", "malignant": 0, "age_years": None, "us_birads": "2", "us_shape": None,
         "us_margin": None, "us_echo": None, "us_posterior": None},
    ]  # fmt: skip
    place = "BrEaST-Lesions_USG-images_and_masks"
    assert rows == [
        manifest_row(
            patient_id="1", image_id="case001.png", modality="US", series="bmode", mask_role="tumour",
            image_path=f"{place}/case001.png", mask_path=f"{place}/case001_tumor.png",
            pixel_spacing_x_mm="0.076", pixel_spacing_y_mm="0.076",
        ),
        manifest_row(
            patient_id="2", image_id="case002.png", modality="US", series="bmode", mask_role="tumour",
            image_path=f"{place}/case002.png",
            mask_path=f"{place}/case002_tumor1.png;{place}/case002_tumor2.png",
            pixel_spacing_x_mm="0.07", pixel_spacing_y_mm="0.07",
        ),
    ]  # fmt: skip


def test_pixel_sizes_in_mm_do_not_pass_for_cm(tmp_path):
    other = [3, "case001.png", "case001_tumor.png", "", 0.076, *[""] * 15, "benign"]
    _, _, problems = checked(breast_lesions(tmp_path, other))
    errors = [(p.row, p.column, p.value) for p in problems if p.severity == "error"]
    assert errors == [("5", "pixel_spacing_x_mm", "0.076"), ("5", "pixel_spacing_y_mm", "0.076")]


MAMA_MIA = DATA / "clinical" / "mama_mia_clinical_and_imaging_info.csv"


def typed(text):
    """Return a cell of a CSV as a workbook holds it."""
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="module")
def mama_mia(tmp_path_factory):
    """The real clinical table as the published workbook, with made-up image files of six women."""
    folder = tmp_path_factory.mktemp("mama_mia")
    with MAMA_MIA.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    rows = [lines[0], *([typed(text) for text in line] for line in lines[1:])]
    workbook(folder / "clinical_and_imaging_info.xlsx", dataset_info=rows, about=[["x"]])
    for patient, phases in {"DUKE_001": 5, "ISPY1_1001": 3, "ISPY2_100899": 2, "NACT_01": 1}.items():
        touch(folder, *(f"images/{patient}/{patient}_{n:04d}.nii.gz" for n in range(phases)))
        touch(folder, f"segmentations/expert/{patient}.nii.gz", f"segmentations/automatic/{patient}.nii.gz")
    # An older release writes files in small letters.
    touch(folder, "images/DUKE_002/duke_002_0000.nii.gz", "segmentations/expert/duke_002.nii.gz")
    touch(folder, "images/DUKE_001/.DUKE_001_0000.nii.gz", "images/DUKE_001/notes.txt")
    return checked(adapter("mama_mia", folder)), lines


@needs(MAMA_MIA)
def test_the_real_clinical_table_of_mama_mia_is_read_whole(mama_mia):
    (patients, _, problems), lines = mama_mia
    assert {p.rule for p in problems} == {"patient_without_image"}
    assert len(patients) == 1506
    assert next(p for p in patients if p["patient_id"] == "DUKE_001") == {
        "patient_id": "DUKE_001", "center": "DUKE", "device": "Avanto", "age_years": 41.0,
        "menopausal_status": "pre", "er_status": 0, "pr_status": 0, "label": 1, "grade": 2,
        "molecular_subtype": "her2_enriched", "breast_pcr": 0,
    }  # fmt: skip
    counts = {name: [p[name] for p in patients] for name in patients[0]}
    theirs = {name: [line[at] for line in lines[1:]] for at, name in enumerate(lines[0])}
    assert counts["label"].count(1) == theirs["her2"].count("1.0") == 393
    assert counts["breast_pcr"].count(1) == theirs["pcr"].count("1.0") == 440
    assert counts["age_years"].count(None) == theirs["age"].count("") == 3
    assert counts["menopausal_status"].count("pre") == 166 + 335 + 142
    assert counts["menopausal_status"].count("peri") == 35
    assert counts["grade"].count(3) == 103


@needs(MAMA_MIA)
def test_subtypes_of_mama_mia_are_mapped_where_receptors_prove_them(mama_mia):
    (patients, _, _), lines = mama_mia
    ours = {p["patient_id"]: p["molecular_subtype"] for p in patients}
    proven = {
        "luminal_b_her2pos": ("1.0", "1.0"),
        "her2_enriched": ("0.0", "1.0"),
        "triple_negative": ("0.0", "0.0"),
    }
    at = {name: lines[0].index(name) for name in ("patient_id", "hr", "her2")}
    found = {
        (ours[line[at["patient_id"]]], (line[at["hr"]], line[at["her2"]]))
        for line in lines[1:]
        if ours[line[at["patient_id"]]]
    }
    assert found == set(proven.items())


@needs(MAMA_MIA)
def test_phases_of_mama_mia_have_their_mask_and_time(mama_mia):
    (_, rows, _), _ = mama_mia
    assert rows[1] == manifest_row(
        patient_id="DUKE_001", image_id="phase_1", modality="MRI", series="dce_1", rater="expert",
        image_path="images/DUKE_001/DUKE_001_0001.nii.gz",
        mask_path="segmentations/expert/DUKE_001.nii.gz", mask_role="tumour", acq_time_s="584",
        manufacturer="SIEMENS", field_strength_t="1.5",
    )  # fmt: skip
    phases = [(row["patient_id"], row["series"], row["acq_time_s"]) for row in rows]
    assert phases[:6] == [
        ("DUKE_001", "dce_0", "0"), ("DUKE_001", "dce_1", "584"), ("DUKE_001", "dce_2", "714"),
        ("DUKE_001", "dce_3", "846"), ("DUKE_001", "dce_4", "977"), ("DUKE_002", "dce_0", "0"),
    ]  # fmt: skip
    assert len(rows) == 5 + 1 + 3 + 2 + 1
    assert rows[5]["mask_path"] == "segmentations/expert/duke_002.nii.gz"


@needs(MAMA_MIA)
def test_a_time_is_read_for_every_phase_that_the_real_table_lists(tmp_path):
    with MAMA_MIA.open(encoding="utf-8", newline="") as stream:
        theirs = [row for row in csv.DictReader(stream) if row["acquisition_times"]]
    names = [(row["patient_id"], n) for row in theirs for n in range(int(row["num_phases"]))]
    table(tmp_path / "phases.csv", "patient,phase", *(f"{patient},{n:04d}" for patient, n in names))
    (tmp_path / "mama_mia.csv").symlink_to(MAMA_MIA)
    rows = read_source(tmp_path, {
        "file": "phases.csv", "join": {"file": "mama_mia.csv", "match": {"patient": "patient_id"}},
        "columns": {"time": {"from": "acquisition_times", "item": "phase"}},
    })  # fmt: skip
    lists = [json.loads(row["acquisition_times"]) for row in theirs]
    expected = [
        str(times[n]) if n < len(times) else ""
        for row, times in zip(theirs, lists, strict=True)
        for n in range(int(row["num_phases"]))
    ]
    assert [row["time"] for row in rows] == expected
    # Three women have fewer times than phases; their last phase has none.
    assert expected.count("") == 3


def duke(folder, **changed):
    """Imitate Duke's workbook and folders; ``changed`` are cells of the first patient."""
    header = {
        "Patient ID": "Breast_MRI_001", "Manufacturer": 2, "Date of Birth (Days)": -15209,
        "Menopause (at diagnosis)": 0, "Race and Ethnicity": 2, "ER": 0, "PR": 0, "HER2": 1, "Mol Subtype": 2,
        "Oncotype score": "NA", "Staging(Tumor Size)# [T]": 2,
        "Staging(Nodes)#(Nx replaced by -1)[N]": -1, "Staging(Metastasis)#(Mx -replaced by -1)[M]": 0,
        "Tumor Grade": 3, "Nottingham grade": 2, "Histologic type": 1, "Tumor Location": "L ",
        "Pathologic Response to Neoadjuvant Therapy": 2,
        "Pathologic response to Neoadjuvant therapy:  Pathologic stage (N) following neoadjuvant therapy": 1,
    }  # fmt: skip
    header |= changed
    other = {
        **header, "Patient ID": "Breast_MRI_002", "Date of Birth (Days)": "NA", "Menopause (at diagnosis)": 2,
        "HER2": 2, "Mol Subtype": 0, "Staging(Tumor Size)# [T]": -1, "Nottingham grade": "NC",
        "Pathologic Response to Neoadjuvant Therapy": 3, "Histologic type": 4, "Tumor Location": "R",
    }  # fmt: skip
    rows = [
        ["Patient Information", *[""] * (len(header) - 1), "For other side"],
        [*header, "Nottingham grade"],
        ["", "GE MEDICAL SYSTEMS=0", "Taking date of diagnosis as day 0"],
        [*header.values(), 1],
        [*other.values(), ""],
    ]
    workbook(folder / "Clinical_and_Other_Features.xlsx", Data=rows)
    study = "Duke-Breast-Cancer-MRI/Breast_MRI_001/01-01-1990-NA-MRI BREAST BILATERAL WWO-97538"
    names = ("ax dyn pre-93877", "ax dyn 1st pass-59459", "ax dyn 4th pass-11111", "ax t1 tse c-58582")
    touch(
        folder,
        *(f"{study}/{n}.000000-{name}/1-{k:03d}.dcm" for n, name in enumerate(names, 3) for k in (1, 2)),
    )
    study = "Duke-Breast-Cancer-MRI/Breast_MRI_002/01-01-1990-NA-MRI BREAST BILATERAL W  WO-51972"
    names = ("500.000000-ax 3d dyn MP-1", "501.000000-Ph1ax 3d dyn MP-2", "300.000000-Segmentation-70895")
    touch(folder, *(f"{study}/{name}/1-001.dcm" for name in names))
    study = "Duke-Breast-Cancer-MRI/Breast_MRI_003/01-01-1990-NA-BREAST-1"
    touch(folder, f"{study}/400.000000-Ax Vibrant MultiPhase-5/1-001.dcm")
    touch(folder, "segmentations/expert/duke_001.nii.gz", "segmentations/expert/DUKE_002.nii.gz")
    touch(folder, "segmentations/automatic/duke_001.nii.gz", "segmentations/expert/ispy1_1001.nii.gz")
    return adapter("duke_breast_mri", folder)


def test_an_imitation_of_duke(tmp_path):
    patients, rows, problems = checked(duke(tmp_path))
    assert problems == []
    # 15,209 days are 41.64 years of 365.25 days.
    assert patients[0]["age_years"] == pytest.approx(15209 / 365.25, abs=1e-12)
    assert patients[0] | {"age_years": 41} == {
        "patient_id": "Breast_MRI_001", "age_years": 41, "menopausal_status": "pre", "laterality": "L",
        "ct_stage": "T2", "cn_stage": "NX", "grade": 2, "histology": "IDC", "er_status": 0, "pr_status": 0,
        "label": 1, "molecular_subtype": "her2_enriched", "breast_pcr": 0, "residual_nodal_disease": 1,
    }  # fmt: skip
    assert patients[1] == {
        "patient_id": "Breast_MRI_002", "age_years": None, "menopausal_status": None, "laterality": "R",
        "ct_stage": None, "cn_stage": "NX", "grade": None, "histology": "other", "er_status": 0,
        "pr_status": 0, "label": None, "molecular_subtype": None, "breast_pcr": 1,
        "residual_nodal_disease": 1,
    }  # fmt: skip
    assert [(row["patient_id"], row["series"], row["mask_path"]) for row in rows] == [
        ("Breast_MRI_001", "dce_0", "segmentations/expert/duke_001.nii.gz"),
        ("Breast_MRI_001", "dce_1", "segmentations/expert/duke_001.nii.gz"),
        ("Breast_MRI_001", "dce_4", "segmentations/expert/duke_001.nii.gz"),
        ("Breast_MRI_002", "dce_0", "segmentations/expert/DUKE_002.nii.gz"),
        ("Breast_MRI_002", "dce_1", "segmentations/expert/DUKE_002.nii.gz"),
    ]
    assert rows[0] == manifest_row(
        patient_id="Breast_MRI_001", image_id="3.000000-ax dyn pre-93877", modality="MRI", series="dce_0",
        image_path="Duke-Breast-Cancer-MRI/Breast_MRI_001/01-01-1990-NA-MRI BREAST BILATERAL WWO-97538"
        "/3.000000-ax dyn pre-93877",
        mask_path="segmentations/expert/duke_001.nii.gz", mask_role="tumour", rater="expert",
    )  # fmt: skip


def test_a_code_of_duke_that_nobody_knows_is_an_error(tmp_path):
    _, _, problems = checked(duke(tmp_path, **{"Mol Subtype": 7}))
    (error,) = [p for p in problems if p.severity == "error"]
    assert (error.row, error.column, error.value) == ("4", "molecular_subtype", "7")
    assert error.file.endswith("Clinical_and_Other_Features.xlsx")


def cdd_cesm(folder, *more):
    """Imitate CDD-CESM; its names of images may end in a blank."""
    header = [
        "Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings",
        "View", "Tags", "Machine", "Pathology Classification/ Follow up",
    ]  # fmt: skip
    images = [
        ("P1_L_DM_MLO", 1, "L", "MLO", "Malignant"),
        ("P1_L_CM_MLO ", 1, "L", "MLO", "Malignant"),
        ("P1_R_DM_CC", 1, "R", "CC", "Benign"),
        ("P1_R_CM_MLO", 1, "R", "MLO", "Normal"),
        ("P2_R_DM_CC", 2, "R", "CC", "Benign"),
        ("P3_L_DM_CC", 3, "L", "CC", "Normal"),
        *more,
    ]
    rows = [
        [name, patient, side, "DM" if "DM" in name else "CESM", 50 + patient, "_", "4$5", "Mass$Asymmetry",
         view, None, 1, pathology]
        for name, patient, side, view, pathology in images
    ]  # fmt: skip
    workbook(folder / "Radiology-manual-annotations.xlsx", all=[header, *rows], mass_description=[["x"]])
    for name, *_ in images:
        kind = "Low energy" if "DM" in name else "Subtracted"
        touch(folder, f"{kind} images of CDD-CESM/{name.strip()}.jpg")
    touch(folder, "Radiology_hand_drawn_segmentations_v2.csv")
    return adapter("cdd_cesm", folder)


def test_an_imitation_of_cdd_cesm(tmp_path):
    patients, rows, problems = checked(cdd_cesm(tmp_path))
    assert problems == []
    assert patients == [
        {"patient_id": "1", "malignant": 1, "age_years": 51.0},
        {"patient_id": "2", "malignant": 0, "age_years": 52.0},
    ]
    shared = {
        "modality": "CEM", "mask_path": "Radiology_hand_drawn_segmentations_v2.csv", "mask_role": "tumour",
    }  # fmt: skip
    # The benign breast of a woman with a malignant one is not used.
    assert rows == [
        manifest_row(
            patient_id="1", image_id="P1_L_DM_MLO", series="le", view="MLO", **shared,
            image_path="Low energy images of CDD-CESM/P1_L_DM_MLO.jpg",
        ),
        manifest_row(
            patient_id="1", image_id="P1_L_CM_MLO", series="rc", view="MLO", **shared,
            image_path="Subtracted images of CDD-CESM/P1_L_CM_MLO.jpg",
        ),
        manifest_row(
            patient_id="2", image_id="P2_R_DM_CC", series="le", view="CC", **shared,
            image_path="Low energy images of CDD-CESM/P2_R_DM_CC.jpg",
        ),
    ]  # fmt: skip


def test_an_image_of_cdd_cesm_that_is_not_there_is_named(tmp_path):
    cohort = cdd_cesm(tmp_path)
    (tmp_path / "Low energy images of CDD-CESM/P2_R_DM_CC.jpg").unlink()
    _, _, problems = checked(cohort)
    (problem,) = problems
    assert (problem.rule, problem.severity, problem.row) == ("missing_file", "warning", "6")
    assert problem.value == "* images of CDD-CESM/P2_R_DM_CC.jpg"


def test_a_pathology_that_the_order_does_not_know_is_refused(tmp_path):
    cohort = cdd_cesm(tmp_path, ("P4_L_DM_CC", 4, "L", "CC", "Borderline"))
    with pytest.raises(StudyError, match=r"sheet all: column Pathology .* 'Borderline', which worst.order"):
        checked(cohort)


# --- tables ----------------------------------------------------------------------------------


def test_a_workbook_is_read_as_a_person_would_type_it(tmp_path):
    values = [
        1.0,
        0.1 + 0.2,
        1e-05,
        12345678.0,
        -0.0,
        54.5,
        True,
        False,
        datetime.date(2024, 2, 29),
        " a  b ",
        None,
    ]
    names = [f"c{n}" for n in range(len(values))]
    workbook(tmp_path / "t.xlsx", first=[names, values])
    (row,) = read_source(tmp_path, {"file": "t.xlsx"})
    expected = ["1", "0.3", "0.00001", "12345678", "0", "54.5", "1", "0", "2024-02-29", "a  b", ""]
    assert row == {"_row": "2", **dict(zip(names, expected, strict=True))}


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_a_number_in_words_is_the_number_to_15_digits(value):
    text = number_text(value)
    assert "e" not in text.lower()
    assert float(text) == pytest.approx(value, rel=1e-14, abs=0)
    assert float(format(float(text), ".15g")) == float(format(value, ".15g"))


def test_header_and_data_may_begin_anywhere_and_blank_rows_do_not_count(tmp_path):
    lines = [["Title"], ["id", "age"], ["words", "years"], [], ["a", 50], ["", ""], ["b", 51]]
    workbook(tmp_path / "t.xlsx", one=[["x"]], two=lines)
    table(tmp_path / "t.csv", *(",".join(map(str, line)) for line in lines))
    spec = {"header_row": 2, "first_row": 4}
    expected = [{"_row": "5", "id": "a", "age": "50"}, {"_row": "7", "id": "b", "age": "51"}]
    assert read_source(tmp_path, {"file": "t.xlsx", "sheet": "two", **spec}) == expected
    assert read_source(tmp_path, {"file": "t.csv", **spec}) == expected


def test_the_second_of_two_columns_with_one_name_is_numbered(tmp_path):
    table(tmp_path / "t.csv", '"Size\n (cm)",Size  (cm),,Size (cm),Size (cm) (2)', "1,2,3,4,5")
    (row,) = read_source(tmp_path, {"file": "t.csv"})
    assert row == {
        "_row": "2", "Size (cm)": "1", "Size (cm) (2)": "2", "Size (cm) (3)": "4", "Size (cm) (2) (2)": "5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"file": "t.xlsx", "sheet": "Data"}, r"t\.xlsx: it has no sheet 'Data'\. Its sheets are one, two\."),
        ({"file": "bad.xlsx"}, r"bad\.xlsx: it cannot be read as a workbook .*Save it again, or as CSV"),
        (
            {"file": "t.xlsx", "header_row": 3},
            r"t\.xlsx, sheet one: it has 1 rows, so there is no header_row 3",
        ),
        ({"file": "none.xlsx"}, r"none\.xlsx: there is no such file.*cohort_folder"),
        ({"file": "t.xlsx", "columns": {"a": "y"}}, r"sheet one: it has no column 'y'.*Its columns are x\."),
        (
            {"file": "t.xlsx", "columns": {"a": "z", "b": {"from": "x", "item": "y"}}},
            r"no column 'y', 'z', which",
        ),
        ({"file": "t.xlsx", "files": ".*"}, "needs either file or files"),
        ({}, "needs either file or files"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_in_words(tmp_path, spec, message):
    workbook(tmp_path / "t.xlsx", one=[["x"]], two=[["x"]])
    (tmp_path / "bad.xlsx").write_text("no workbook")
    with pytest.raises(StudyError, match=message):
        read_source(tmp_path, spec)


def test_without_the_reader_of_workbooks_a_csv_is_asked_for(tmp_path, monkeypatch):
    workbook(tmp_path / "t.xlsx", one=[["x"]])
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(StudyError, match=r"needs python-calamine\. Install it, or save the sheet as CSV"):
        read_source(tmp_path, {"file": "t.xlsx"})


# --- listings --------------------------------------------------------------------------------


def test_files_are_listed_in_order_with_their_groups_and_without_hidden_ones(tmp_path):
    touch(tmp_path, "b/2.png", "b/10.png", "a/1.png", "a/1.txt", ".trash/1.png", "a/.2.png", "top.png")
    rows = read_source(tmp_path, {"files": r"(?P<class>\w)/(?P<n>\d+)(?P<more>x)?\.png"})
    assert rows == [
        {"_row": path, "class": path[0], "n": path[2:-4], "more": "", "path": path}
        for path in ("a/1.png", "b/10.png", "b/2.png")
    ]


def test_a_pattern_that_ends_in_a_slash_is_matched_against_folders(tmp_path):
    touch(tmp_path, "p1/s1/1.dcm", "p1/s1/2.dcm", "p1/s2/1.dcm", "p2/s1/1.dcm", "p2/file")
    rows = read_source(tmp_path, {"files": "(?P<patient>p[0-9])/s1/"})
    assert [(row["patient"], row["path"]) for row in rows] == [("p1", "p1/s1"), ("p2", "p2/s1")]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"a/b/\d\.png", ["a/b/1.png"]),
        (r"a/b/?\d\.png", ["a/b/1.png", "a/b2.png"]),
        (r"a/b/1\.png|c/1\.png", ["a/b/1.png", "c/1.png"]),
        (r"(?i)A/.*", ["a/b/1.png", "a/b2.png"]),
        (r"a/(b/)*.*", ["a/b/1.png", "a/b2.png"]),
    ],
)
def test_looking_below_plain_folders_alone_misses_nothing(tmp_path, pattern, found):
    touch(tmp_path, "a/b/1.png", "a/b2.png", "c/1.png")
    assert [row["path"] for row in read_source(tmp_path, {"files": pattern})] == found


def test_links_are_followed_and_one_that_leads_back_does_not_trap(tmp_path):
    touch(tmp_path, "elsewhere/1.png", "here/2.png")
    (tmp_path / "here/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/back").symlink_to(tmp_path / "here")
    rows = read_source(tmp_path / "here", {"files": r".*\.png"})
    assert [row["path"] for row in rows] == ["2.png", "images/1.png"]


def test_a_pattern_that_matches_nothing_says_what_it_was_tried_on(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    with pytest.raises(
        StudyError, match=r"none of the 3 files below it \(such as a/1\.png and b/2\.png\) fits"
    ):
        read_source(tmp_path, {"files": r".*\.jpg"})
    with pytest.raises(
        StudyError, match=r"none of the 3 folders below it \(such as a/ and b/\) fits files: 'd/'"
    ):
        read_source(tmp_path, {"files": "d/"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match=r"none of the 0 files below it fits"):
        read_source(tmp_path / "empty", {"files": r"d/.*"})
    with pytest.raises(StudyError, match=r"none: there is no such folder.*cohort_folder"):
        read_source(tmp_path / "none", {"files": ".*"})


@pytest.mark.parametrize(
    ("table_of", "message"),
    [
        ({"files": "("}, r"files: '\(' in the cohort file is no regular expression"),
        (
            {"files": ".*", "columns": {"a": {"from": "path", "pattern": "["}}},
            r"columns\.a\.pattern: '\[' in",
        ),
        (
            {"files": ".*", "columns": {"a": {"from": "path", "pattern": "(x)", "replacement": r"\2"}}},
            r"columns\.a\.pattern: '\(x\)' has no group 2",
        ),
        ({"files": ".*", "columns": {"a": {"from": "path", "glob": r"\g<b>*"}}}, r"has no group b"),
        ({"files": ".*", "columns": {"a": {"values": {1: 2}}}}, r"columns\.a: .* neither from nor constant"),
        ({"files": ".*", "columns": {"a": {"from": "path", "factor": "1/0"}}}, r"columns\.a: factor '1/0'"),
        ({"files": ".*", "columns": {"a": {"from": "path", "factor": "x"}}}, r"columns\.a: factor 'x'"),
        (
            {"files": ".*", "columns": {"a": {"from": "path", "item": "n"}}},
            r"no column 'n'.*columns are path",
        ),
        (
            {"files": ".*", "leave_out": {"x": [1]}},
            r"no column 'x', which the cohort file names in leave_out",
        ),
        (
            {"files": ".*", "worst": {"within": "x", "by": "path", "order": [1]}},
            r"no column 'x', which the cohort file names in worst",
        ),
        ({"files": ".*", "join": {"files": ".*", "match": {"x": "path"}}}, r"no column 'x'.*join\.match"),
        ({"files": ".*", "join": {"files": ".*", "match": {"path": "x"}}}, r"no column 'x'.*join\.match"),
    ],
)
def test_a_mistake_in_a_cohort_file_is_told_in_words(tmp_path, table_of, message):
    touch(tmp_path, "1.png")
    with pytest.raises(StudyError, match=message):
        read_source(tmp_path, table_of)


# --- joins and rows --------------------------------------------------------------------------


def test_a_join_adds_the_columns_of_the_row_that_fits(tmp_path):
    table(tmp_path / "a.csv", "id,eye,name", "1,L,x", "2,R,y", "1,R,z")
    table(tmp_path / "b.csv", "who,eye,age", "1,R,50", "1,L,60", "3,L,70")
    rows = read_source(tmp_path, {
        "file": "a.csv", "join": {"file": "b.csv", "match": {"id": "who", "eye": "eye"}},
    })  # fmt: skip
    names = ("_row", "id", "eye", "name", "who", "eye (2)", "age")
    assert rows == [
        dict(zip(names, values, strict=True))
        for values in (
            ("2", "1", "L", "x", "1", "L", "60"),
            ("3", "2", "R", "y", "", "", ""),
            ("4", "1", "R", "z", "1", "R", "50"),
        )
    ]


def test_a_join_that_cannot_choose_or_never_fits_is_refused(tmp_path):
    table(tmp_path / "a.csv", "id", "01", "2")
    table(tmp_path / "twice.csv", "who,age", "2,50", "3,1", "2,60")
    table(tmp_path / "never.csv", "who", "1")
    with pytest.raises(
        StudyError, match=r"twice\.csv: rows 2 and 4 both have who '2', so join cannot choose"
    ):
        read_source(tmp_path, {"file": "a.csv", "join": {"file": "twice.csv", "match": {"id": "who"}}})
    with pytest.raises(
        StudyError, match=r"no row fits one of .*never\.csv; .* id, here '01', with who, there '1'"
    ):
        read_source(tmp_path, {"file": "a.csv", "join": {"file": "never.csv", "match": {"id": "who"}}})


def test_rows_are_left_out_by_value_and_by_being_empty(tmp_path):
    table(tmp_path / "t.csv", "id,class,code", "a,normal,1", "b,benign,", "c,benign,2", "d,Normal,3")
    spec = {"file": "t.csv", "leave_out": {"class": ["normal"], "code": ["", 2]}}
    assert [row["id"] for row in read_source(tmp_path, spec)] == ["d"]
    assert [row["id"] for row in read_source(tmp_path, {**spec, "leave_out": {"code": [None]}})] == [
        "a",
        "c",
        "d",
    ]


def test_the_worst_rows_of_each_patient_are_kept(tmp_path):
    table(tmp_path / "t.csv", "id,class", "a,1", "a,3", "b,1", "c,2", "a,3", "c,1")
    spec = {"file": "t.csv", "worst": {"within": "id", "by": "class", "order": [3, 2, 1]}}
    assert [(row["_row"], row["id"]) for row in read_source(tmp_path, spec)] == [
        ("3", "a"), ("4", "b"), ("5", "c"), ("6", "a"),
    ]  # fmt: skip


# --- values ----------------------------------------------------------------------------------


def value(tmp_path, text, spec, more="0"):
    """Return what a mapping makes of one cell ``x`` beside a cell ``n``."""
    with (tmp_path / "v.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("x", "n"), (text, more)])
    (row,) = read_source(tmp_path, {"file": "v.csv", "columns": {"y": {"from": "x", **spec}}})
    return row["y"]


@pytest.mark.parametrize(
    ("text", "spec", "expected"),
    [
        ("NA", {"missing": ["NA", -1]}, ""),
        ("-1", {"missing": ["NA", -1]}, ""),
        ("-1", {"missing": ["NA", -1], "values": {1: 2}}, ""),
        ("2", {"values": {1: "a", 2: None}}, ""),
        ("0.0067", {"factor": 10}, "0.067"),
        ("0.1", {"factor": 3}, "0.3"),
        ("1.10", {"offset": 2.2}, "3.3"),
        ("98.6", {"factor": "5/9", "offset": -17.7777777777778}, "37"),
        ("-15209", {"factor": "-1/365.25"}, "41.6399726214921"),
        ("0", {"factor": -1}, "0"),
        ("1e3", {"factor": 0.001}, "1"),
        ("cm", {"factor": 10}, UNMAPPED + "cm"),
        ("nan", {"factor": 10}, UNMAPPED + "nan"),
        ("a & b&", {"split": "&"}, "a;b"),
        ("a&b", {"split": "&", "pattern": "(.*)", "replacement": r"m/\1.png"}, "m/a.png;m/b.png"),
        ("a&q", {"split": "&", "values": {"a": 1}}, UNMAPPED + "a&q"),
        ("type 2", {"pattern": r"type (\d)", "replacement": r"\1", "values": {2: "b"}}, "b"),
        ("side 2", {"pattern": r"type (\d)", "replacement": r"\1", "values": {2: "b"}}, UNMAPPED + "side 2"),
        ("12 mm", {"pattern": "([0-9]+) mm", "replacement": r"\1", "factor": 0.1}, "1.2"),
        ("a/b\\n", {"pattern": r"(?P<one>.*)/(.*)", "replacement": r"\g<one>-\2-\g<0>"}, "a-b\\n-a/b\\n"),
        ("ac", {"pattern": "a(b)?c", "replacement": r"[\1]"}, "[]"),
        ("", {"pattern": "(.*)", "replacement": r"x\1"}, ""),
    ],
)  # fmt: skip
def test_keys_of_a_mapping_are_applied_in_their_order(tmp_path, text, spec, expected):
    assert value(tmp_path, text, spec) == expected


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("[0, 584, 714]", "0", "0"),
        ("[0, 584, 714]", "0001", "584"),
        ("[0, 584, 714]", "3", ""),
        ("[]", "0", ""),
        ("", "0", ""),
        ("0, 584", "0", UNMAPPED + "0, 584"),
        ("[0, 584]", "-1", UNMAPPED + "[0, 584]"),
        ("[0, 584]", "", UNMAPPED + "[0, 584]"),
    ],
)
def test_an_element_of_a_list_is_taken_by_number(tmp_path, text, number, expected):
    assert value(tmp_path, text, {"item": "n"}, number) == expected


decimals = st.decimals(-(10**6), 10**6, places=4, allow_nan=False)


@given(decimals, decimals, decimals)
@settings(deadline=None)
def test_a_change_of_unit_is_exact(tmp_path_factory, number, factor, offset):
    spec = {"factor": str(factor), "offset": str(offset)}
    text = value(tmp_path_factory.mktemp("v"), str(number), spec)
    exact = Fraction(number) * Fraction(factor) + Fraction(offset)
    # Up to 15 digits: none are lost when there are no more.
    assert abs(Fraction(text) - exact) <= abs(exact) / 10**14
    if len(str(exact.numerator)) <= 11 and exact.denominator in (1, 10, 100, 1000, 10**4):
        assert Fraction(text) == exact
    assert "E" not in text


def test_a_glob_finds_all_files_of_an_image_and_no_other(tmp_path):
    touch(
        tmp_path, "b/x (1).png", "b/x (1)_mask.png", "b/x (1)_mask_2.png", "b/x (1)_mask_1.png",
        "b/x (10)_mask.png", "b/x (1)_mask.txt", "c/x (1)_mask.png", "b/y[1]_mask.png", "b/y1_mask.png",
        "b/.x (1)_mask.png",
    )  # fmt: skip
    one = {"pattern": r"(.*)\.png", "glob": r"\1_mask*.png"}
    found = "b/x (1)_mask.png;b/x (1)_mask_1.png;b/x (1)_mask_2.png"
    assert value(tmp_path, "b/x (1).png", one) == found
    # Only what the cohort file writes is a wild card, not what the data happen to hold.
    assert value(tmp_path, "b/y[1].png", one) == "b/y[1]_mask.png"
    assert value(tmp_path, "x (1)", {"glob": r"*/\g<0>_mask.png"}) == "b/x (1)_mask.png;c/x (1)_mask.png"
    assert value(tmp_path, "x (1)", {"glob": r"b/\g<0>_mask_?.png"}).count(";") == 1
    assert value(tmp_path, "none.png", one) == "none_mask*.png"
    assert value(tmp_path, "x (1)_mask.png", {"glob": r"c/\g<0>"}) == "c/x (1)_mask.png"


@given(
    st.lists(st.text("ab1_", min_size=1, max_size=4), unique=True, max_size=12),
    st.text("ab*?", min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=40)
def test_a_glob_finds_what_the_standard_library_finds(tmp_path_factory, names, pattern):
    folder = tmp_path_factory.mktemp("g")
    touch(folder, *(f"d/{name}" for name in names))
    expected = sorted(glob.glob(f"d/{pattern}", root_dir=folder))  # noqa: PTH207
    assert Folder(str(folder)).glob(f"d/{pattern}") == expected


# --- what the workflow asks ------------------------------------------------------------------


def test_the_files_behind_a_table_are_known_and_a_listing_has_none():
    joined = {"file": "a.csv", "join": {"file": "b.csv", "match": {}}}
    assert table_files("F", joined) == ["F/a.csv", "F/b.csv"]
    assert table_files("F", {"files": ".*", "join": {"file": "b.csv", "match": {}}}) == ["F/b.csv"]
    assert table_files("F", {"files": ".*"}) == []
    assert (table_file("F", joined), table_file("F", {"files": ".*"})) == ("F/a.csv", "F")


def test_a_listing_has_a_digest_that_changes_with_its_files():
    plain, listing = {"file": "a.csv"}, {"files": ".*"}
    rows = {"0000": [{"patient_id": "a"}]}
    assert listed_digest({"participants": plain, "images": plain}, rows) == ""
    first = listed_digest({"participants": plain, "images": listing}, rows)
    assert first == listed_digest({"participants": plain, "images": {**plain, "join": listing}}, rows) != ""
    assert first != listed_digest({"participants": plain, "images": listing}, {**rows, "0001": []})


def test_a_folder_is_looked_through_once_for_both_tables(tmp_path, monkeypatch):
    touch(
        tmp_path,
        *(f"benign/benign ({n})_mask.png" for n in range(3)),
        *(f"benign/benign ({n}).png" for n in range(3)),
    )
    cohort, looked = adapter("busi", tmp_path), []
    monkeypatch.setattr(
        Folder, "_below", lambda self, start, below=Folder._below: looked.append(start) or below(self, start)
    )
    among = Folder(str(tmp_path))
    people, pictures = cohort["participants"], cohort["images"]
    check_cohort(str(tmp_path), people, str(tmp_path), pictures, str(tmp_path), [], among)
    assert len(read_source(tmp_path, pictures, among)) == 3
    assert looked == [""]


@pytest.mark.slow
def test_a_new_file_of_a_listed_cohort_reaches_a_finished_study(tmp_path):
    copy_project(tmp_path)
    names = [f"{kind}/{kind} ({n})" for kind in ("benign", "malignant") for n in range(4)]
    touch(tmp_path / "data", *(f"{name}{end}.png" for name in names for end in ("", "_mask")))
    design = yaml.safe_load((tmp_path / "config/studies/us_malignancy.yaml").read_text())
    design |= {"cohort": "busi", "cohort_folder": "data"}
    design["split"] = {"by": "random", "cohorts": {"train": 0.7, "internal_test": 0.3}}
    plan = design["tasks"]["malignancy"]
    plan["clinical"]["candidates"] = []
    plan["combined"] = {"radiomics": {"signatures": ["itr"]}}
    plan["nomogram"] = "radiomics"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(design))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "study.yaml"]
    file = "results/us_malignancy/cohort/participants.csv"
    run([*command, "--", file], tmp_path)
    assert (tmp_path / file).read_text().splitlines()[1:] == [
        f"{name.partition('/')[2]},{int('malignant' in name)},busi,0" for name in names
    ]
    dry = [*command, "-n", "--quiet", "rules", "--", file]
    assert planned_jobs(run(dry, tmp_path)) == {}
    touch(tmp_path / "data", "benign/benign (9).png", "benign/benign (9)_mask.png")
    assert planned_jobs(run(dry, tmp_path))["read_cohort"] == 1
