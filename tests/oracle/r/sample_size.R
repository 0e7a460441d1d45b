# Riley's criteria by their formulas (BMJ 2020;368:m441) for three examples; pmsampsize beside them where it
# is installed. An AUC stands for a Cox-Snell R2: that of normal log-odds with that AUC, by integration.
criteria <- function(parameters, prevalence, r2) {
  null <- prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)
  largest <- 1 - exp(2 * null)
  size <- function(shrinkage) parameters / ((shrinkage - 1) * log(1 - r2 / shrinkage))
  sizes <- ceiling(c(size(0.9), size(r2 / (r2 + 0.05 * largest)), (1.96 / 0.05)^2 * prevalence * (1 - prevalence)))
  list(sizes = sizes, patients = max(sizes), events_per_parameter = max(sizes) * prevalence / parameters,
       largest_r2 = largest)
}
r2_of <- function(auc, prevalence) {
  apart <- sqrt(2) * qnorm(auc)
  loss <- function(mean, sign) {
    integrate(function(x) {
      linear <- qlogis(prevalence) + apart * x - apart^2 / 2
      -log1p(exp(-sign * linear)) * dnorm(x, mean)
    }, -12, 12 + apart, rel.tol = 1e-12, subdivisions = 2000)$value
  }
  null <- prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)
  1 - exp(-2 * (prevalence * loss(apart, 1) + (1 - prevalence) * loss(0, -1) - null))
}
found <- list(first = criteria(24, 0.174, 0.288), second = criteria(6, 0.35, 0.15),
              r2_of_auc = r2_of(0.89, 0.174), by_auc = criteria(24, 0.174, r2_of(0.89, 0.174)))
if (has("pmsampsize")) {
  found$pmsampsize <- list(
    first = pmsampsize::pmsampsize("b", csrsquared = 0.288, parameters = 24, prevalence = 0.174)$results_table,
    by_auc = pmsampsize::pmsampsize("b", cstatistic = 0.89, parameters = 24, prevalence = 0.174, seed = 123456)$results_table)
}
found
