# ComBat of simulated features of three batches by sva, with and without a covariate, and to a reference.
set.seed(3)
features <- matrix(rnorm(20 * 30), 20) + rep(c(0, 1, -1), each = 20 * 10) * 0.8
features[, 11:20] <- features[, 11:20] * 1.7
batch <- rep(1:3, each = 10)
group <- rep(c(0, 1), 15)
features[1:5, group == 1] <- features[1:5, group == 1] + 1
kept <- model.matrix(~group)
quietly <- function(...) suppressMessages(sva::ComBat(features, batch = batch, par.prior = TRUE, ...))
list(features = features, batch = batch, group = group, mod = quietly(mod = kept), nomod = quietly(),
     mod_ref1 = quietly(mod = kept, ref.batch = 1))
