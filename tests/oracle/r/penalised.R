# The LASSO path of glmnet's BinomialExample and its cross-validation by three criteria. "default" is cv.glmnet
# as it comes; every fold has its own penalties and is interpolated. "converged" is the same to a tolerance of
# 1e-12: by the AUC it chooses other penalties, as near ties between patients fall the other way. "fixed" has
# the same penalties in every fold.
data(BinomialExample, package = "glmnet", envir = environment())
x <- BinomialExample$x
y <- as.numeric(BinomialExample$y)
fold <- (seq_along(y) - 1) %% 10 + 1
fit <- glmnet::glmnet(x, y, family = "binomial", thresh = 1e-14, maxit = 1e7)
at <- function(penalty) {
  found <- glmnet::coef.glmnet(fit, s = penalty, exact = TRUE, x = x, y = y, thresh = 1e-15, maxit = 1e8)
  as.numeric(found)
}
chosen <- function(cv) {
  list(minimum = cv$lambda.min, one_se = cv$lambda.1se, selected = unname(cv$nzero[cv$index[, 1]]),
       mean = cv$cvm[cv$index[1]], standard_error = cv$cvsd[cv$index[1]])
}
measures <- setNames(nm = c("deviance", "auc", "class"))
cross_validate <- function(...) {
  lapply(measures, function(m) glmnet::cv.glmnet(x, y, family = "binomial", type.measure = m, foldid = fold, ...))
}
own <- cross_validate()
converged <- cross_validate(thresh = 1e-12, maxit = 1e7)
fixed <- cross_validate(thresh = 1e-12, maxit = 1e7, lambda = own$deviance$lambda)
list(largest = fit$lambda[1], penalties = own$deviance$lambda, coefficients = list(penalty = 0.05, values = at(0.05)),
     coefficients_minimum = at(own$deviance$lambda.min), coefficients_one_se = at(own$deviance$lambda.1se),
     default = lapply(own, chosen), converged = lapply(converged, chosen), fixed = lapply(fixed, chosen),
     fixed_mean = fixed$deviance$cvm, fixed_standard_error = fixed$deviance$cvsd)
