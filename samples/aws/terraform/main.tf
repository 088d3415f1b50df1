# A bucket for captures, the layer and what functions with it need, and the forwarder of log groups.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first in which a queue takes messages as large as Lambda's events.
      version = ">= 6.11"
    }
  }
}

locals {
  layer_zip     = "${path.module}/../layer/reassemble-extension-${var.architecture}.zip"
  forwarder_zip = "${path.module}/../layer/reassemble-forwarder-${var.architecture}.zip"

  # What the extension and the forwarder are told.
  environment = {
    REASSEMBLE_TO                   = "s3://${aws_s3_bucket.captures.bucket}/${var.prefix}"
    REASSEMBLE_RETENTION            = "${var.retention_days}d"
    REASSEMBLE_RETENTION_ERRORS     = "${var.retention_errors_days}d"
    REASSEMBLE_RETENTION_INCOMPLETE = "${var.retention_incomplete_days}d"
  }
}
