# Exact intervals of proportions, epiR's example of a diagnostic test, and cutpointr's example of a cut-off.
exact <- lapply(list(c(18, 20), c(45, 60), c(0, 12)), function(k) {
  list(k = k[1], n = k[2], interval = as.numeric(binom.test(k[1], k[2])$conf.int))
})
counts <- c(670, 202, 74, 640)
found <- epiR::epi.tests(as.table(matrix(counts, 2, byrow = TRUE)))$detail
rows <- c(sensitivity = "se", specificity = "sp", accuracy = "diag.ac", ppv = "pv.pos", npv = "pv.neg")
diagnostic <- lapply(rows, function(row) unlist(found[found$statistic == row, c("est", "lower", "upper")], use.names = FALSE))
data(suicide, package = "cutpointr", envir = environment())
cut <- cutpointr::cutpointr(suicide, dsi, suicide, method = cutpointr::maximize_metric, metric = cutpointr::youden,
                            pos_class = "yes", direction = ">=", silent = TRUE)
list(exact = exact, diagnostic = diagnostic,
     suicide = list(cut_off = cut$optimal_cutpoint, youden = unname(cut$youden), accuracy = unname(cut$acc),
                    sensitivity = unname(cut$sensitivity), specificity = unname(cut$specificity), auc = cut$AUC))
