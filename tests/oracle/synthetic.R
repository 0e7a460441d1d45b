# Recomputes expected.json from cohort.csv: a radiomics study of simulated patients from the LASSO to the
# nomogram, in three cohorts.
#
#   python tests/oracle/make_data.py FOLDER && Rscript tests/oracle/synthetic.R FOLDER
#
# FOLDER gets cohort.csv, boot_idx.csv, rad.csv (the score by the LASSO), pred.csv (two models' probabilities)
# and expected.json.

folder <- commandArgs(trailingOnly = TRUE)[1]
here <- normalizePath(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))))
setwd(folder)
patients <- read.csv("cohort.csv")
resamples <- as.matrix(read.csv("boot_idx.csv", header = FALSE))
features <- grep("^f[0-9]", names(patients), value = TRUE)
terms <- c("age", "size", "er", "ki67", "rad")
cohorts <- c("train", "internal", "external")
of <- function(name) patients[patients$cohort == name, ]
versions <- c("glmnet", "pROC", "rms", "Hmisc", "brglm2", "sva", "psych")
expected <- list(versions = lapply(setNames(nm = versions), function(p) as.character(packageVersion(p))), R = R.version.string)
control <- list(epsilon = 1e-14, maxit = 100)

# ---- LASSO ----
x <- as.matrix(of("train")[features])
y <- of("train")$y
fold <- of("train")$fold
path <- glmnet::glmnet(x, y, family = "binomial", thresh = 1e-14, maxit = 1e7)
cv <- glmnet::cv.glmnet(x, y, family = "binomial", foldid = fold, thresh = 1e-12, maxit = 1e7)
fixed <- glmnet::cv.glmnet(x, y, family = "binomial", foldid = fold, lambda = cv$lambda, thresh = 1e-12, maxit = 1e7)
at <- function(penalty) {
  b <- as.matrix(glmnet::coef.glmnet(path, s = penalty, exact = TRUE, x = x, y = y, thresh = 1e-14, maxit = 1e7))[, 1]
  as.list(b[b != 0])
}
expected$lasso_fixedpath <- list(lambda = fixed$lambda, cvm = fixed$cvm, cvsd = fixed$cvsd,
                                 lambda_min = fixed$lambda.min, lambda_1se = fixed$lambda.1se)
expected$lasso <- list(lambda = cv$lambda, cvm = cv$cvm, cvsd = cv$cvsd, nzero = unname(cv$nzero),
                       lambda_min = cv$lambda.min, lambda_1se = cv$lambda.1se,
                       coef_min = at(cv$lambda.min), coef_1se = at(cv$lambda.1se))
b <- unlist(expected$lasso$coef_min)
patients$rad <- as.vector(b[1] + as.matrix(patients[names(b)[-1]]) %*% b[-1])
write.csv(patients[c("id", "rad")], "rad.csv", row.names = FALSE)

# ---- logistic regressions ----
regression <- function(formula, data) {
  fit <- glm(formula, binomial, data, control = control)
  table <- summary(fit)$coefficients
  tests <- drop1(fit, test = "LRT")
  list(term = rownames(table), coef = table[, 1], se = table[, 2], z = table[, 3], p = table[, 4],
       or = exp(table[, 1]), wald = exp(confint.default(fit)), profile = exp(suppressMessages(confint(fit))),
       deviance = fit$deviance, aic = AIC(fit), lrt_p = tests[["Pr(>Chi)"]][-1], lrt_term = rownames(tests)[-1])
}
second <- function(part) if (is.matrix(part)) part[2, ] else if (length(part) == 2) part[2] else part
train <- of("train")
expected$uni <- lapply(setNames(nm = terms), function(v) lapply(regression(reformulate(v, "y"), train), second))
expected$multi <- regression(y ~ age + size + er + ki67 + rad, train)
expected$clin <- regression(y ~ age + size + er + ki67, train)
clinical <- glm(y ~ age + size + er + ki67, binomial, train)
combined <- glm(y ~ age + size + er + ki67 + rad, binomial, train)
patients$pc <- predict(clinical, patients, type = "response")
patients$pf <- predict(combined, patients, type = "response")
write.csv(patients[c("id", "cohort", "y", "pc", "pf")], "pred.csv", row.names = FALSE)
train <- of("train")
external <- of("external")
expected$vif <- as.list(rms::vif(rms::lrm(y ~ age + size + er + ki67 + rad, train)))

# ---- discrimination ----
curve <- function(data, column) pROC::roc(data$y, data[[column]], quiet = TRUE, direction = "<", levels = 0:1)
expected$delong <- lapply(setNames(nm = cohorts), function(name) {
  one <- curve(of(name), "pc")
  other <- curve(of(name), "pf")
  test <- pROC::roc.test(one, other, method = "delong", paired = TRUE)
  list(auc_c = as.numeric(pROC::ci.auc(one)), auc_f = as.numeric(pROC::ci.auc(other)),
       var = c(pROC::var(one), pROC::var(other)), cov = pROC::cov(one, other), z = unname(test$statistic),
       p = test$p.value)
})
test <- pROC::roc.test(curve(train, "pf"), curve(external, "pf"), method = "delong", paired = FALSE)
expected$delong_unpaired <- list(D = unname(test$statistic), df = unname(test$parameter), p = test$p.value)
best <- pROC::coords(curve(train, "pf"), "best", best.method = "youden", ret = c("threshold", "sensitivity", "specificity"))
cut_off <- min(train$pf[train$pf >= best$threshold])
expected$cut <- list(youden_mid = best$threshold, youden_obs = cut_off, se = best$sensitivity, sp = best$specificity)
expected$ops <- lapply(split(patients, patients$cohort), function(data) {
  called <- data$pf >= cut_off
  event <- data$y == 1
  share <- function(k, n) c(k, n, k / n, binom.test(k, n)$conf.int)
  list(sens = share(sum(called & event), sum(event)), spec = share(sum(!called & !event), sum(!event)),
       acc = share(sum(called == event), nrow(data)), ppv = share(sum(called & event), sum(called)),
       npv = share(sum(!called & !event), sum(!called)))
})

# ---- calibration ----
expected$cal <- lapply(split(patients, patients$cohort), function(data) {
  linear <- qlogis(data$pf)
  large <- glm(y ~ offset(linear), binomial, data)
  line <- glm(data$y ~ linear, family = binomial)
  smooth <- fitted(loess(y ~ pf, data, degree = 2, span = 0.75))
  c(as.list(rms::val.prob(data$pf, data$y, pl = FALSE)),
    list(citl = unname(coef(large)), citl_ci = unname(confint.default(large)[1, ]),
         slope_ci = unname(confint.default(line)[2, ]), OE = sum(data$y) / sum(data$pf),
         loess_Eavg = mean(abs(smooth - data$pf)), loess_ECI = 100 * mean((smooth - data$pf)^2),
         brier_scaled = 1 - mean((data$y - data$pf)^2) / (mean(data$y) * (1 - mean(data$y)))))
})

# ---- decision curve and reclassification, by definition ----
thresholds <- seq(0.05, 0.7, 0.05)
benefit <- function(p, name) {
  rates <- sapply(thresholds, function(t) c(mean(p >= t & external$y == 1), mean(p >= t & external$y == 0)))
  data.frame(variable = name, threshold = thresholds, tp_rate = rates[1, ], fp_rate = rates[2, ],
             net_benefit = rates[1, ] - rates[2, ] * thresholds / (1 - thresholds))
}
everybody <- rep(1, nrow(external))
expected$dca <- rbind(benefit(everybody, "all"), benefit(0 * everybody, "none"), benefit(external$pc, "pc"),
                      benefit(external$pf, "pf"))
gain <- Hmisc::improveProb(external$pc, external$pf, external$y)
change <- sign(findInterval(external$pf, c(0.3, 0.6)) - findInterval(external$pc, c(0.3, 0.6)))
share <- function(outcome, direction) mean(change[external$y == outcome] == direction)
parts <- c(share(1, 1) - share(1, -1), share(0, -1) - share(0, 1))
expected$nri_idi <- list(cnri = gain$nri, cnri_se = gain$se.nri, cnri_ev = gain$nri.ev, cnri_ne = gain$nri.ne,
                         idi = gain$idi, idi_se = gain$se.idi,
                         cat = c(sum(parts), parts, share(1, 1), share(1, -1), share(0, -1), share(0, 1)))

# ---- subgroups ----
held_out <- patients[patients$cohort != "train", ]
apart <- glm(y ~ rad + ki67, binomial, held_out, control = control)
crossed <- glm(y ~ rad * ki67, binomial, held_out, control = control)
ratios <- function(level) regression(y ~ rad, held_out[held_out$ki67 == level, ])[c("or", "wald")]
expected$sub <- list(p_int = anova(apart, crossed, test = "LRT")[["Pr(>Chi)"]][2], or0 = ratios(0), or1 = ratios(1))

# ---- Firth, thirty patients of whom one term separates the outcome ----
small <- train[1:30, ]
small$z <- as.integer(small$y == 1 & seq_len(30) %% 2 == 0)
source(file.path(here, "r", "penalised_likelihood.R"), local = TRUE)
expected$firth <- firth(cbind(`(Intercept)` = 1, z = small$z, size = small$size), small$y)

# ---- nomogram ----
spread <- rms::datadist(train)
options(datadist = "spread")
drawn <- rms::nomogram(rms::lrm(y ~ age + size + er + ki67 + rad, train), fun = plogis, fun.at = c(0.1, 0.3, 0.5, 0.7, 0.9))
expected$nomo <- lapply(terms, function(v) list(var = v, x = drawn[[v]][[1]], points = unname(drawn[[v]]$points)))
expected$nomo_total <- list(x = drawn[["lp"]]$x, lp = drawn[["lp"]]$x.real)

# ---- bootstrap optimism ----
area <- function(p, y) unname(Hmisc::somers2(p, y)["C"])
own <- fitted(combined)
optimism <- apply(resamples, 1, function(rows) {
  drawn <- train[rows, ]
  fit <- glm(y ~ age + size + er + ki67 + rad, binomial, drawn)
  there <- fitted(fit)
  here <- predict(fit, train, type = "response")
  c(area(there, drawn$y) - area(here, train$y), mean((there - drawn$y)^2) - mean((here - train$y)^2),
    coef(glm(train$y ~ qlogis(here), family = binomial))[2])
})
expected$boot <- list(auc_app = area(own, train$y), auc_opt = mean(optimism[1, ]), brier_app = mean((own - train$y)^2),
                      brier_opt = mean(optimism[2, ]), slope = mean(optimism[3, ]))

# ---- ComBat and intraclass correlation ----
harmonised <- function(...) {
  t(suppressMessages(sva::ComBat(t(x), batch = train$site, mod = model.matrix(~er, train), ...)))[1:5, 1:5]
}
expected$combat_first5 <- unname(harmonised())
expected$combat_ref1_first5 <- unname(harmonised(ref.batch = 1))
ratings <- cbind(train$f00, train$f00 + 0.4 * train$f01, train$f00 + 0.3 * train$f02 + 0.2)[1:60, ]
expected$icc <- psych::ICC(ratings, lmer = FALSE)$results[c("type", "ICC", "lower bound", "upper bound")]
jsonlite::write_json(expected, "expected.json", auto_unbox = TRUE, digits = 14, pretty = TRUE, force = TRUE, na = "null")
