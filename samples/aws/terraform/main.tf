# The bucket with its lifecycle rules, the layer, the policy for functions that have it, and the forwarder of log groups.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  layer_zip     = "${path.module}/../layer/reassemble-extension-${var.architecture}.zip"
  forwarder_zip = "${path.module}/../layer/reassemble-forwarder-${var.architecture}.zip"
  destination   = "s3://${aws_s3_bucket.captures.bucket}/${var.prefix}"
}

resource "aws_s3_bucket" "captures" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "captures" {
  bucket                  = aws_s3_bucket.captures.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# This resource owns all lifecycle rules of the bucket. One rule for each retention class, as `reassemble lifecycle` prints them.
resource "aws_s3_bucket_lifecycle_configuration" "captures" {
  bucket = aws_s3_bucket.captures.id

  dynamic "rule" {
    for_each = toset([for days in var.retention_days : tostring(days)])
    content {
      id     = "retention-${rule.value}d"
      status = "Enabled"

      filter {
        prefix = "${var.prefix}/retention=${rule.value}d/"
      }

      expiration {
        days = tonumber(rule.value)
      }
    }
  }

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/"
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }
}

# All that the extension and the forwarder need: to write, and to compare what is there already.
data "aws_iam_policy_document" "write_captures" {
  statement {
    actions   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.captures.arn}/${var.prefix}/*"]
  }
}

resource "aws_iam_policy" "write_captures" {
  name   = "${var.name}-write-captures"
  policy = data.aws_iam_policy_document.write_captures.json
}

resource "aws_lambda_layer_version" "extension" {
  layer_name               = "${var.name}-extension"
  filename                 = local.layer_zip
  source_code_hash         = filebase64sha256(local.layer_zip)
  compatible_architectures = [var.architecture]
  license_info             = "Apache-2.0"
}
