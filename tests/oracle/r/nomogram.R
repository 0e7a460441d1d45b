# The nomogram that rms draws of birthwt, with the axes that it chooses.
data(birthwt, package = "MASS", envir = environment())
births <- with(birthwt, data.frame(low, age, lwt, race = factor(race, labels = c("white", "black", "other")), smoke, ht))
spread <- rms::datadist(births)
assign("spread", spread, envir = globalenv())
options(datadist = "spread")
fit <- rms::lrm(low ~ age + lwt + race + smoke + ht, births, eps = 1e-10, maxit = 100)
risks <- c(0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
drawn <- rms::nomogram(fit, fun = plogis, fun.at = risks, funlabel = "risk", lp = TRUE)
variables <- c("age", "lwt", "race", "smoke", "ht")
rulers <- lapply(setNames(nm = variables), function(name) {
  list(values = as.character(drawn[[name]][[1]]), points = unname(drawn[[name]]$points))
})
linear <- drawn$lp
per_unit <- diff(range(linear$x)) / diff(range(linear$x.real))
list(coefficients = as.list(coef(fit)), rulers = rulers, points_per_log_odds = per_unit,
     total_points = linear$x, log_odds = linear$x.real,
     risks = risks, points_of_risks = linear$x[1] + per_unit * (qlogis(risks) - linear$x.real[1]))
