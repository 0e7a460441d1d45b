# Recomputes in R every number that the tests compare with R, and writes them to one JSON file.
#
#   Rscript tests/oracle/run.R [numbers.json]
#
# Data come with R's packages. Five sets belong to packages that Debian lacks: without the package they are
# read from the folder ORACLE_DATA (../shared/oracle beside the project). See README.md.

arguments <- commandArgs(trailingOnly = TRUE)
here <- normalizePath(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))))
target <- if (length(arguments)) arguments[1] else file.path(here, "numbers.json")
folder <- Sys.getenv("ORACLE_DATA", file.path(here, "..", "..", "..", "shared", "oracle"))

has <- function(package) requireNamespace(package, quietly = TRUE)

# A data set of a package that may be missing, else its copy in the folder.
data_of <- function(package, name, file) {
  if (has(package)) {
    local <- new.env()
    utils::data(list = name, package = package, envir = local)
    return(as.data.frame(get(name, local)))
  }
  path <- file.path(folder, file)
  if (!file.exists(path)) {
    stop("neither the package ", package, " nor ", path, " is here: install the one or give ORACLE_DATA")
  }
  utils::read.csv(path)
}

# glm to convergence: its default stops at 1e-8 of the deviance, and its standard errors are those of the step
# before the last, which shows in the fourth digit. Formula and data stand in the call as they are, for the
# functions that fit again.
logistic <- function(formula, data = NULL) {
  call <- quote(glm(formula = formula, family = binomial, data = data, control = list(epsilon = 1e-15, maxit = 100)))
  call <- do.call(substitute, list(call, list(formula = formula, data = data)))
  first <- eval(call, parent.frame())
  again <- call
  again$start <- coef(first)
  fit <- eval(again, parent.frame())
  fit$call <- call
  fit
}

topics <- c("discrimination", "classification", "regression", "profile", "penalised", "firth", "calibration",
            "optimism", "decision", "reclassification", "nomogram", "agreement", "harmonisation", "sample_size")
numbers <- list(R = R.version.string)
packages <- c("pROC", "cutpointr", "epiR", "MASS", "rms", "Hmisc", "car", "glmnet", "brglm2", "psych", "sva", "dcurves",
              "rmda", "nricens", "PredictABEL", "CalibrationCurves", "pmsampsize", "logistf")
numbers$versions <- lapply(stats::setNames(packages, packages), function(package) {
  if (has(package)) as.character(utils::packageVersion(package)) else "not installed"
})
for (topic in topics) {
  message(topic)
  numbers[[topic]] <- source(file.path(here, "r", paste0(topic, ".R")), local = new.env())$value
}
jsonlite::write_json(numbers, target, auto_unbox = TRUE, digits = NA, pretty = TRUE, na = "null")
