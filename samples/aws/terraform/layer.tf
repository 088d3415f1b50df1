resource "aws_lambda_layer_version" "extension" {
  layer_name               = "${var.name}-extension"
  filename                 = local.layer_zip
  source_code_hash         = filebase64sha256(local.layer_zip)
  compatible_architectures = [var.architecture]
  license_info             = "Apache-2.0"
  # Functions that have an older one cannot be changed once it is deleted.
  skip_destroy = true
}

# All that the extension and the forwarder need: to write, and to compare what is there already.
data "aws_iam_policy_document" "write_captures" {
  statement {
    actions   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.captures.arn}/${var.prefix}/*"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      # What is sent in parts is read again by S3 when they are joined.
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_policy" "write_captures" {
  name   = "${var.name}-write-captures"
  policy = data.aws_iam_policy_document.write_captures.json
}

# What `reassemble merge` needs besides.
data "aws_iam_policy_document" "merge_captures" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.captures.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.prefix}/*"]
    }
  }

  statement {
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.captures.arn}/${var.prefix}/*"]
  }
}

resource "aws_iam_policy" "merge_captures" {
  name   = "${var.name}-merge-captures"
  policy = data.aws_iam_policy_document.merge_captures.json
}
