variable "bucket" {
  description = "The name of the bucket that is made for captures"
  type        = string
}

variable "prefix" {
  description = "What the keys of all objects begin with"
  type        = string
  default     = "captures"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*$", var.prefix))
    error_message = "Parts of letters, digits and _ . = - with single slashes between them."
  }
}

variable "name" {
  description = "What the names of roles, policies and functions begin with"
  type        = string
  default     = "reassemble"
}

variable "architecture" {
  description = "As samples/aws/layer/build was told: x86_64 or arm64"
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Lambda runs x86_64 and arm64."
  }
}

variable "retention_days" {
  description = "Days for which complete exchanges are kept"
  type        = number
  default     = 30
}

variable "retention_errors_days" {
  description = "Days for which exchanges that failed are kept"
  type        = number
  default     = 90
}

variable "retention_incomplete_days" {
  description = "Days for which incomplete exchanges are kept, and within which `reassemble merge` has to have joined pieces"
  type        = number
  default     = 7
}

variable "kms_key_arn" {
  description = "The key that objects are encrypted with; null for the bucket's own"
  type        = string
  default     = null
}

variable "forwarded_log_groups" {
  description = "Log groups whose lines the forwarder reads; not those of functions with the layer, which would be captured twice"
  type        = list(string)
  default     = []

  # The forwarder's own log group begins so. Subscribed to that, it would call itself for ever.
  validation {
    condition     = alltrue([for group in var.forwarded_log_groups : !startswith(group, "/reassemble/")])
    error_message = "A log group that begins with /reassemble/ is a forwarder's own."
  }
}

variable "forwarder_concurrency" {
  description = "Environments that the forwarder has at most, which are set apart from the account's; -1 for as many as there is work for"
  type        = number
  default     = -1
}
