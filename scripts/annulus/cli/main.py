"""The command ``annulus``. What a command needs is imported when it runs, so that help is instant."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from annulus import __version__
from annulus.errors import StudyError


class Commands(TyperGroup):
    """Commands whose users' mistakes end in one plain message and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StudyError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Set up, check and use breast-radiomics studies.

\b
  annulus init --images data/us --participants data/us/patients.csv --modality US
  annulus check my_study
  uv run snakemake --cores all --config study=my_study
  annulus score results/my_study/models/malignancy/combined new_patients.csv
  annulus explain P-0042 --study my_study

Exit codes: 0 fine, 1 something in the input is wrong, 2 the command was not used as it is meant to be.
Research software: not a medical device.""",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"annulus {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Take what comes before the command."""


@app.command()
def init(
    images: Annotated[Path | None, typer.Option(help="Folder of images and masks.")] = None,
    features: Annotated[Path | None, typer.Option(help="Table of features extracted elsewhere.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Table of predicted probabilities, to be evaluated only.")
    ] = None,
    participants: Annotated[
        Path | None, typer.Option(help="Table with a row per patient, beside --images.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="US, CEM or MRI, with --images.")] = None,
    patient: Annotated[str | None, typer.Option(help="Column that names the patient.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Column with the outcome; folder where the images' folders are it.")
    ] = None,
    positive: Annotated[
        list[str] | None, typer.Option(help="Value that is the event; may be repeated.")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(help="Value that is no event; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study and the cohort.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write the configuration of a new study, with comments that explain every line.

    Asks for what is missing where somebody is there to answer, and never otherwise. Files that are there are
    kept unless --force says otherwise.

    \b
    annulus init --images data/busi --modality US --outcome folder --positive malignant
    annulus init --images mri --participants mri/p.csv --modality MRI --outcome breast_pcr --positive 1
    annulus init --features data/Petrillo2023.csv --outcome Target --positive 1 --negative 0 --name petrillo
    annulus init --predictions readers.csv --outcome malignant --positive 1
    """
    given = [key for key, value in _ways(images, features, predictions).items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter("give one of --images, --features and --predictions.")
    if participants and not images and given:
        raise typer.BadParameter("--participants goes with --images alone.")
    from annulus.cli.init import Wishes, begin

    wishes = Wishes(
        way=given[0] if given else "",
        place=images or features or predictions,
        participants=participants,
        modality=modality,
        patient=patient,
        outcome=outcome,
        positive=tuple(positive or ()),
        negative=tuple(negative or ()),
        name=name,
        force=force,
    )
    for line in begin(wishes):
        typer.echo(line)


def _ways(images: Path | None, features: Path | None, predictions: Path | None) -> dict[str, Path | None]:
    return {"images": images, "features": features, "predictions": predictions}


@app.command()
def check(
    study: Annotated[
        str | None, typer.Argument(help="Study, by name or file; else that of config.yaml.")
    ] = None,
    cohort: Annotated[
        str | None, typer.Option(help="Also check an external cohort, by name or file.")
    ] = None,
) -> None:
    """Check a study's configuration and tables in seconds, without looking at any image.

    Outcomes of cohorts that models have yet to be tested on are not looked at; of an external cohort only
    which values its outcome has, never whose.

    \b
    annulus check us_malignancy
    annulus check config/studies/mine.yaml
    annulus check cem_her2 --cohort config/cohorts/other_hospital.yaml
    """
    from annulus.cli.check import check_study

    found = check_study(study, cohort)
    for line in found.lines:
        typer.echo(line)
    for line in found.warnings:
        typer.echo(f"warning: {line}", err=True)
    for line in found.errors:
        typer.echo(f"error: {line}", err=True)
    typer.echo(found.verdict)
    if found.errors:
        raise typer.Exit(1)


@app.command()
def score(
    bundle: Annotated[Path, typer.Argument(help="Frozen model: its folder or its model.json.")],
    table: Annotated[Path, typer.Argument(help="CSV, workbook or Parquet file with a row per patient.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write; else it is printed.")] = None,
) -> None:
    """Score patients with a frozen model.

    The table has patient_id, and the model's features and clinical variables under their names. Every patient
    gets the linear predictor, the probability, the class at the frozen cut-off, how many predictors were
    missing and filled in, and how many lie outside the training patients' range.

    \b
    annulus score results/us_malignancy/models/malignancy/combined patients.csv
    annulus score results/us_malignancy/models/malignancy/combined patients.parquet --out scores.csv
    """
    from annulus.cli.score import score_file

    scored = score_file(bundle, table)
    for line in scored.remarks:
        typer.echo(line, err=True)
    if out is None:
        typer.echo(scored.table.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    from annulus.tables import write_csv

    write_csv(out, scored.table)
    typer.echo(f"{out}: {len(scored.table)} patients", err=True)


@app.command()
def explain(
    patient: Annotated[
        str, typer.Argument(help="Patient's id, or with --row a row of the participants table.")
    ],
    study: Annotated[str | None, typer.Option(help="Study; else that of config.yaml.")] = None,
    external: Annotated[str | None, typer.Option(help="External cohort that the patient is of.")] = None,
    row: Annotated[
        bool, typer.Option("--row", help="The patient is given by the row of the participants table.")
    ] = False,
) -> None:
    """Say for one patient what happened at each step of a study, and where and why one was left out.

    \b
    annulus explain 1002 --study us_malignancy
    annulus explain 17 --row --study us_malignancy
    annulus explain B-104 --study us_malignancy --external busi
    """
    from annulus.cli.explain import explain_patient

    for line in explain_patient(patient, study, external, row):
        typer.echo(line)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
