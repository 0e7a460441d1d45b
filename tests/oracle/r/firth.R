# Firth's regression of logistf's sex2 from its definition; coefficients by brglm2, whose mean-bias reduction
# is Firth's for a logistic model, and logistf's own numbers, where installed, beside them.
source(file.path(here, "r", "penalised_likelihood.R"), local = TRUE)
patients <- data_of("logistf", "sex2", "logistf_sex2.csv")
terms <- c("age", "oc", "vic", "vicl", "vis", "dia")
reduced <- glm(reformulate(terms, "case"), binomial, patients, method = brglm2::brglmFit, type = "AS_mean",
               epsilon = 1e-12, maxit = 1000)
found <- c(firth(model.matrix(reduced), patients$case), list(brglm2 = unname(coef(reduced))))
if (has("logistf")) {
  theirs <- logistf::logistf(reformulate(terms, "case"), patients)
  found$logistf <- list(coef = unname(theirs$coefficients), lo = unname(theirs$ci.lower),
                        hi = unname(theirs$ci.upper), p = unname(theirs$prob))
}
found
