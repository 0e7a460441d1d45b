# Net reclassification and IDI: Hmisc's improveProb, and the categorical index and its multinomial variance by
# definition; nricens beside them where it is installed.
net <- function(y, change) {
  share <- function(part, sign) mean(sign * change[y == part] > 0)
  up <- c(share(1, 1), share(0, 1))
  down <- c(share(1, -1), share(0, -1))
  parts <- c(up[1] - down[1], down[2] - up[2])
  variance <- sum((up + down - parts^2) / c(sum(y == 1), sum(y == 0)))
  list(total = sum(parts), events = parts[1], non_events = parts[2], events_up = up[1], events_down = down[1],
       non_events_down = down[2], non_events_up = up[2], standard_error = sqrt(variance))
}
category <- function(p, cuts) findInterval(p, cuts)
improved <- function(old, new, y) {
  found <- Hmisc::improveProb(old, new, y)
  lapply(unclass(found)[c("nri", "nri.ev", "nri.ne", "se.nri", "se.nri.ev", "se.nri.ne", "idi", "se.idi",
                          "improveSens", "improveSpec")], unname)
}
# The example of nricens: patients of survival's pbc, dead within 2000 days or followed for longer.
data(pbc, package = "survival", envir = environment())
patients <- pbc[1:312, ]
patients <- patients[patients$time > 2000 | (patients$time < 2000 & patients$status == 2), ]
y <- as.integer(patients$time < 2000 & patients$status == 2)
old <- unname(fitted(glm(y ~ age + bili + albumin, binomial, patients)))
new <- unname(fitted(glm(y ~ age + bili + albumin + protime, binomial, patients)))
change <- new - old
cirrhosis <- list(n = length(y), events = sum(y), by_two_hundredths = net(y, change * (abs(change) > 0.02)),
                  categories = net(y, category(new, c(0.2, 0.4)) - category(old, c(0.2, 0.4))),
                  continuous = net(y, change), improve_prob = improved(old, new, y))
if (has("nricens")) {
  cirrhosis$nricens <- nricens::nribin(event = y, p.std = old, p.new = new, cut = c(0.2, 0.4), niter = 0,
                                       updown = "category", msg = FALSE)$nri$Estimate
}
risks <- read.csv(file.path(folder, "predictabel_example_risks.csv"))
example <- list(categories = net(risks$y, category(risks$p2, c(0.1, 0.3)) - category(risks$p1, c(0.1, 0.3))),
                continuous = net(risks$y, risks$p2 - risks$p1), improve_prob = improved(risks$p1, risks$p2, risks$y))
list(cirrhosis = cirrhosis, predictabel = example)
