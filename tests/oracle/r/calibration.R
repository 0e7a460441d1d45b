# Calibration of three sets of predictions: rms's val.prob, recalibration regressions, R's loess, the
# Hosmer-Lemeshow statistic. val.prob.ci.2 of CalibrationCurves beside them where it is installed.
judged <- function(p, y) {
  linear <- qlogis(p)
  large <- logistic(y ~ offset(linear))
  line <- logistic(y ~ linear)
  smooth <- fitted(loess(y ~ p, degree = 2, span = 0.75))
  low <- lowess(p, y, iter = 0)
  distance <- abs(approx(low, xout = p, ties = mean)$y - p)
  grid <- seq(0.0005, 0.9995, by = 0.0005)
  straight <- plogis(coef(line)[1] + coef(line)[2] * qlogis(grid))
  list(val_prob = as.list(rms::val.prob(p, y, pl = FALSE)),
       in_the_large = c(coef(large), confint.default(large)), slope = c(coef(line)[2], confint.default(line)[2, ]),
       in_the_large_profile = as.numeric(suppressMessages(confint(large))),
       slope_profile = as.numeric(suppressMessages(confint(line))[2, ]),
       intercept = unname(coef(line)[1]), observed_expected = sum(y) / sum(p), brier = mean((y - p)^2),
       scaled_brier = 1 - mean((y - p)^2) / (mean(y) * (1 - mean(y))),
       lowess = list(ici = mean(distance), e90 = unname(quantile(distance, 0.9)), emax = max(distance)),
       loess = list(ici = mean(abs(smooth - p)), eci = 100 * mean((smooth - p)^2), emax = max(abs(smooth - p))),
       line_emax = max(abs(straight - grid)),
       auc = as.numeric(pROC::auc(pROC::roc(y, p, quiet = TRUE, levels = 0:1, direction = "<"))),
       auc_log_odds = as.numeric(pROC::ci.auc(pROC::roc(y, p, quiet = TRUE, levels = 0:1, direction = "<"))))
}
cancers <- data_of("dcurves", "df_binary", "df_binary.csv")
model <- glm(cancer ~ age + famhistory + marker, binomial, cancers[1:500, ])
held_out <- cancers[501:750, ]
p <- predict(model, held_out, type = "response")
ok <- !is.na(p)
df_binary <- judged(unname(p[ok]), as.integer(held_out$cancer[ok]))

set.seed(1)
x <- replicate(3, runif(200))
y <- as.integer(runif(200) <= plogis(2 * (x[, 1] - 0.5)))
example <- data.frame(x1 = x[, 1], x2 = x[, 2], x3 = x[, 3], y)
fit <- rms::lrm(y ~ x1 + x2 + x3, example[1:100, ])
rms_example <- judged(predict(fit, example[101:200, ], type = "fitted"), example$y[101:200])

# The vignette's predictions: its training model, applied to its test patients.
vignette <- if (has("CalibrationCurves")) {
  data("traindata", "testdata", package = "CalibrationCurves", envir = environment())
  fit <- glm(y ~ ., binomial, traindata)
  data.frame(p = predict(fit, testdata, type = "response"), y = testdata$y)
} else {
  data_of("CalibrationCurves", "", "calibrationcurves_test.csv")
}
curves <- judged(vignette$p, vignette$y)
area <- curves$auc_log_odds
spread <- (area[3] - area[2]) / qnorm(0.975)
curves$auc_log_odds <- plogis(qlogis(area[2]) + c(-1, 1) * qnorm(0.975) * spread / (area[2] * (1 - area[2])))

# Hosmer and Lemeshow's tenths by value, as PredictABEL's plotCalibration cuts them, without its rounding.
tenths <- function(p, y) {
  group <- cut(p, unique(quantile(p, 0:10 / 10)), include.lowest = TRUE)
  observed <- tapply(y, group, sum)
  expected <- tapply(p, group, sum)
  size <- tapply(p, group, length)
  statistic <- sum((observed - expected)^2 / (expected * (1 - expected / size)))
  list(statistic = statistic, p = pchisq(statistic, nlevels(group) - 2, lower.tail = FALSE))
}
risks <- read.csv(file.path(folder, "predictabel_example_risks.csv"))
list(df_binary = df_binary, rms_example = rms_example, vignette = curves,
     hosmer_lemeshow = tenths(risks$p1, risks$y))
