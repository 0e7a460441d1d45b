# Intraclass correlations of the six targets and four judges of Shrout & Fleiss (Psychol Bull 1979), by psych.
ratings <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), ncol = 4, byrow = TRUE)
found <- psych::ICC(ratings, lmer = FALSE)$results
lapply(split(found, found$type), function(row) unlist(row[c("ICC", "lower bound", "upper bound")], use.names = FALSE))
