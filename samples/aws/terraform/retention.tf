# Until when exchanges are kept: days by the prefix of their keys. Classes of the same days share one: S3 takes one rule a prefix.
locals {
  retention_days = {
    for days in toset([var.retention_days, var.retention_errors_days, var.retention_incomplete_days]) :
    "${var.prefix}/retention=${days}d/" => days
  }
}
