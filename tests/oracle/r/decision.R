# Net benefit by its definition (Vickers & Elkin 2006); dcurves and rmda beside it where they are installed.
benefit <- function(p, y, thresholds, prevalence = mean(y)) {
  sapply(thresholds, function(t) {
    # Rounding must not decide at a threshold that is itself a predicted risk.
    treated <- p >= t - 1e-12
    mean(treated[y == 1]) * prevalence - mean(treated[y == 0]) * (1 - prevalence) * t / (1 - t)
  })
}
cancers <- data_of("dcurves", "df_binary", "df_binary.csv")
y <- as.integer(cancers$cancer)
grid <- seq(0.05, 0.35, by = 0.05)
few <- c(0.05, 0.10, 0.20)
everybody <- rep(1, length(y))
avoided <- (benefit(cancers$cancerpredmarker, y, few) - benefit(everybody, y, few)) * (1 - few) / few
found <- list(
  thresholds = grid, treat_all = benefit(everybody, y, grid),
  cancerpredmarker = benefit(cancers$cancerpredmarker, y, grid), famhistory = benefit(cancers$famhistory, y, grid),
  at_prevalence_10 = benefit(cancers$cancerpredmarker, y, few, 0.10),
  treat_all_at_prevalence_10 = benefit(everybody, y, few, 0.10), interventions_avoided = avoided
)
if (has("dcurves")) {
  theirs <- as.data.frame(dcurves::dca(cancer ~ cancerpredmarker + famhistory, cancers, thresholds = grid)$dca)
  found$dcurves <- split(theirs$net_benefit, theirs$variable)
}
patients <- data_of("rmda", "dcaData", "rmda_dcaData.csv")
risk <- fitted(glm(Cancer ~ Age + Female + Smokes + Marker1 + Marker2, binomial, patients))
at <- c(0.05, 0.10, 0.15, 0.20, 0.30)
found$rmda_example <- list(thresholds = at, net_benefit = benefit(risk, patients$Cancer, at),
                           standardised = benefit(risk, patients$Cancer, at) / mean(patients$Cancer))
if (has("rmda")) {
  theirs <- rmda::decision_curve(Cancer ~ risk, cbind(patients, risk), fitted.risk = TRUE, thresholds = at,
                                 bootstraps = 0, confidence.intervals = "none")$derived.data
  found$rmda <- theirs$NB[theirs$model == "Cancer ~ risk"]
}
found
