# Optimism of the model of rms's ?val.prob, on 200 stated resamples and on 2000 of rms's own.
set.seed(1)
x <- replicate(3, runif(200))
y <- as.integer(runif(200) <= plogis(2 * (x[, 1] - 0.5)))
patients <- data.frame(x1 = x[, 1], x2 = x[, 2], x3 = x[, 3], y)
set.seed(7)
resamples <- matrix(sample.int(200, 200 * 200, replace = TRUE), 200)

area <- function(p, y) (mean(rank(p)[y == 1]) - (sum(y) + 1) / 2) / sum(y == 0)
model <- y ~ x1 + x2 + x3
own <- fitted(logistic(model, patients))
optimism <- apply(resamples, 1, function(rows) {
  drawn <- patients[rows, ]
  fit <- logistic(model, drawn)
  there <- fitted(fit)
  here <- predict(fit, patients, type = "response")
  linear <- qlogis(here)
  line <- coef(logistic(patients$y ~ linear))
  c(auc = area(there, drawn$y) - area(here, patients$y),
    brier = mean((drawn$y - there)^2) - mean((patients$y - here)^2),
    slope = 1 - unname(line[2]), intercept = -unname(line[1]),
    in_the_large = -unname(coef(logistic(patients$y ~ offset(linear)))))
})
set.seed(42)
fit <- rms::lrm(y ~ x1 + x2 + x3, data = patients, x = TRUE, y = TRUE)
validated <- unclass(rms::validate(fit, B = 2000))
list(resamples_first_row = resamples[1, ], apparent_auc = area(own, y), apparent_brier = mean((own - y)^2),
     optimism = as.list(rowMeans(optimism)),
     validate = list(dxy = validated["Dxy", "index.orig"], dxy_corrected = validated["Dxy", "index.corrected"],
                     slope_corrected = validated["Slope", "index.corrected"],
                     brier_corrected = validated["B", "index.corrected"]))
