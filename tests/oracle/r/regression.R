# Logistic regressions: estimates, Wald intervals, likelihood-ratio tests, elimination, inflation, interaction.
data(aSAH, package = "pROC", envir = environment())
data(birthwt, package = "MASS", envir = environment())
describe <- function(fit) {
  table <- summary(fit)$coefficients
  list(terms = rownames(table), coefficients = unname(table[, 1]), standard_errors = unname(table[, 2]),
       p = unname(table[, 4]), wald = unname(exp(confint.default(fit))), deviance = fit$deviance,
       null_deviance = fit$null.deviance, aic = AIC(fit))
}
ratio <- function(fit) {
  tests <- drop1(fit, test = "LRT")
  setNames(as.list(tests[["Pr(>Chi)"]][-1]), rownames(tests)[-1])
}
bleeding <- data.frame(y = as.integer(aSAH$outcome == "Poor"), age = aSAH$age,
                       female = as.integer(aSAH$gender == "Female"), s100b = aSAH$s100b, wfns = as.numeric(aSAH$wfns))
asah <- logistic(y ~ age + female + s100b + wfns, bleeding)
births <- with(birthwt, data.frame(low, age, lwt, race = factor(race, labels = c("white", "black", "other")), smoke,
                                   ptd = as.integer(ptl > 0), ht, ui, ftv = factor(pmin(ftv, 2))))
whole <- logistic(low ~ ., births)
kept <- MASS::stepAIC(whole, trace = 0)
five <- logistic(low ~ age + lwt + race + smoke + ht, births)
inflation <- rms::lrm(low ~ age + lwt + race + smoke + ht, births, eps = 1e-10, maxit = 100)
apart <- logistic(low ~ lwt + smoke, births)
crossed <- logistic(low ~ lwt * smoke, births)
cancers <- data_of("dcurves", "df_binary", "df_binary.csv")
list(
  asah = c(describe(asah), list(likelihood_ratio_p = ratio(asah))),
  birthwt = describe(whole),
  birthwt_step = c(describe(kept), list(kept = attr(terms(kept), "term.labels"))),
  df_binary = describe(logistic(cancer ~ age + famhistory + marker, cancers)),
  vif = as.list(rms::vif(inflation)),
  gvif = apply(car::vif(five), 1, as.list),
  interaction_p = anova(apart, crossed, test = "LRT")[["Pr(>Chi)"]][2]
)
