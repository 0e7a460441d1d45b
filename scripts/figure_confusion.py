"""Draw the confusion matrix of a cascade in one cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.confusion import confusion_figure
from annulus.figures.style import save
from annulus.tables import read_csv

params, output = snakemake.params, snakemake.output
table = read_csv(snakemake.input.confusion)
part = table[table["cohort"] == snakemake.wildcards.cohort]
figure = confusion_figure(part, params.classes)
save(figure, {"pdf": output.pdf, "png": output.png, "csv": output.csv}, part, params.synthetic)
