# AUC, DeLong's variance, tests and Youden's cut-off of the aSAH patients of pROC; AUC of cutpointr's example.
data(aSAH, package = "pROC", envir = environment())
curve <- function(marker, rows = TRUE) {
  pROC::roc(aSAH$outcome[rows], as.numeric(aSAH[[marker]])[rows], levels = c("Good", "Poor"), direction = "<",
            quiet = TRUE)
}
markers <- c("s100b", "ndka", "wfns")
curves <- lapply(setNames(markers, markers), curve)
single <- lapply(curves, function(one) {
  found <- c("threshold", "sensitivity", "specificity", "accuracy", "tp", "fp", "tn", "fn")
  list(interval = as.numeric(pROC::ci.auc(one, method = "delong")), variance = pROC::var(one),
       youden = as.list(pROC::coords(one, "best", best.method = "youden", ret = found)))
})
pairs <- list(c("s100b", "wfns"), c("s100b", "ndka"), c("wfns", "ndka"))
paired <- lapply(pairs, function(pair) {
  test <- pROC::roc.test(curves[[pair[1]]], curves[[pair[2]]], method = "delong", paired = TRUE)
  list(first = pair[1], second = pair[2], z = unname(test$statistic), p = test$p.value,
       interval = as.numeric(test$conf.int), covariance = pROC::cov(curves[[pair[1]]], curves[[pair[2]]]))
})
test <- pROC::roc.test(curve("s100b", aSAH$gender == "Male"), curve("s100b", aSAH$gender == "Female"),
                       method = "delong", paired = FALSE)
unpaired <- list(aucs = as.numeric(test$estimate), t = unname(test$statistic),
                 degrees_of_freedom = unname(test$parameter), p = test$p.value)
list(single = single, paired = paired, unpaired = unpaired)
