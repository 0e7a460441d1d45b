# Profile-likelihood intervals of odds ratios twice over: as confint prints them, which draws a spline through
# a few points of the profile, and as they are, by solving for the value that a regression with the term's
# contribution as a fixed offset rejects at exactly 5 %.
data(aSAH, package = "pROC", envir = environment())
data(birthwt, package = "MASS", envir = environment())

exact <- function(fit) {
  design <- model.matrix(fit)
  y <- fit$y
  errors <- sqrt(diag(vcov(fit)))
  limit <- qchisq(0.95, 1)
  ends <- sapply(colnames(design), function(name) {
    others <- design[, colnames(design) != name, drop = FALSE]
    beyond <- function(value) {
      held <- glm.fit(others, y, offset = design[, name] * value, family = binomial(), intercept = FALSE,
                      control = list(epsilon = 1e-15, maxit = 200))
      held$deviance - fit$deviance - limit
    }
    b <- coef(fit)[[name]]
    end <- function(side) {
      far <- b + side * c(0.5, 8) * errors[[name]]
      uniroot(beyond, sort(far), tol = 1e-14 + 1e-13 * abs(b), maxiter = 1000)$root
    }
    c(end(-1), end(1))
  })
  unname(t(exp(ends)))
}
both <- function(fit) {
  list(terms = names(coef(fit)), printed = unname(exp(suppressMessages(confint(fit)))), exact = exact(fit))
}

bleeding <- data.frame(y = as.integer(aSAH$outcome == "Poor"), age = aSAH$age,
                       female = as.integer(aSAH$gender == "Female"), s100b = aSAH$s100b, wfns = as.numeric(aSAH$wfns))
births <- with(birthwt, data.frame(low, age, lwt, race = factor(race, labels = c("white", "black", "other")), smoke,
                                   ptd = as.integer(ptl > 0), ht, ui, ftv = factor(pmin(ftv, 2))))
cancers <- data_of("dcurves", "df_binary", "df_binary.csv")
list(asah = both(logistic(y ~ age + female + s100b + wfns, bleeding)),
     birthwt = both(logistic(low ~ ., births)),
     df_binary = both(logistic(cancer ~ age + famhistory + marker, cancers)))
