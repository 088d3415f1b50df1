variable "bucket" {
  description = "The name of the bucket that is made for captures"
  type        = string
}

variable "prefix" {
  description = "What the keys of all objects begin with, without slashes at its ends"
  type        = string
  default     = "captures"
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
  description = "The retention classes in use: of incomplete exchanges, of complete ones, and of errors"
  type        = list(number)
  default     = [7, 30, 90]
}

variable "forwarded_log_groups" {
  description = "Log groups whose lines the forwarder reads; not those of functions with the layer, which would be captured twice"
  type        = list(string)
  default     = []
}
