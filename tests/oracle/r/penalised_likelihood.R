# Firth's logistic regression from its definition: the likelihood times the root of the determinant of the
# information (Firth, Biometrika 1993;80:27-38), intervals and p-values by its profile (Heinze & Schemper, Stat
# Med 2002;21:2409-2419). Standard errors weigh every patient by one more than the leverage, as logistf's.

firth <- function(design, y) {
  likelihood <- function(b) {
    linear <- as.vector(design %*% b)
    p <- plogis(linear)
    information <- crossprod(design * sqrt(p * (1 - p)))
    sum(y * linear - log1p(exp(-abs(linear))) - pmax(linear, 0)) + as.numeric(determinant(information)$modulus) / 2
  }
  state <- function(b) {
    p <- plogis(as.vector(design %*% b))
    weighted <- design * sqrt(p * (1 - p))
    information <- crossprod(weighted)
    leverage <- rowSums(weighted * t(solve(information, t(weighted))))
    list(score = as.vector(crossprod(design, y - p + leverage * (0.5 - p))), information = information,
         augmented = crossprod(weighted * sqrt(1 + leverage)))
  }
  # The largest penalised likelihood with coefficient j held, or with none held (j = 0).
  largest <- function(start, j = 0, value = 0) {
    b <- start
    free <- setdiff(seq_along(b), j)
    if (j > 0) b[j] <- value
    for (i in 1:500) {
      now <- state(b)
      step <- solve(now$information[free, free], now$score[free])
      step <- step * min(1, 1 / max(abs(step)))
      while (likelihood(replace(b, free, b[free] + step)) < likelihood(b) - 1e-12) step <- step / 2
      b[free] <- b[free] + step
      if (max(abs(step)) < 1e-13) break
    }
    list(coefficients = b, likelihood = likelihood(b))
  }
  best <- largest(rep(0, ncol(design)))
  errors <- sqrt(diag(solve(state(best$coefficients)$augmented)))
  limit <- qchisq(0.95, 1)
  by_term <- sapply(seq_along(best$coefficients), function(j) {
    b <- best$coefficients[j]
    fall <- function(value) 2 * (best$likelihood - largest(best$coefficients, j, value)$likelihood)
    end <- function(side) uniroot(function(v) fall(v) - limit, sort(b + side * c(0.3, 8) * errors[j]), tol = 1e-12)$root
    c(end(-1), end(1), pchisq(fall(0), 1, lower.tail = FALSE))
  })
  list(term = colnames(design), coef = unname(best$coefficients), se = unname(errors), lo = by_term[1, ],
       hi = by_term[2, ], p = by_term[3, ])
}
