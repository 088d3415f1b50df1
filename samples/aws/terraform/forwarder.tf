# For functions and containers that cannot have the layer: the lines of their log groups, by subscriptions.

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "forwarder" {
  name               = "${var.name}-forwarder"
  assume_role_policy = data.aws_iam_policy_document.lambda_assumes.json
}

resource "aws_iam_role_policy_attachment" "forwarder_writes" {
  role       = aws_iam_role.forwarder.name
  policy_arn = aws_iam_policy.write_captures.arn
}

resource "aws_iam_role_policy_attachment" "forwarder_logs" {
  role       = aws_iam_role.forwarder.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "forwarder" {
  function_name    = "${var.name}-forwarder"
  role             = aws_iam_role.forwarder.arn
  filename         = local.forwarder_zip
  source_code_hash = filebase64sha256(local.forwarder_zip)
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  memory_size      = 256
  timeout          = 60

  environment {
    variables = {
      REASSEMBLE_TO = local.destination
    }
  }
}

data "aws_cloudwatch_log_group" "forwarded" {
  for_each = toset(var.forwarded_log_groups)
  name     = each.value
}

resource "aws_lambda_permission" "log_group" {
  for_each      = data.aws_cloudwatch_log_group.forwarded
  statement_id  = substr("logs-${sha256(each.key)}", 0, 64)
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.forwarder.function_name
  principal     = "logs.amazonaws.com"
  source_arn    = "${each.value.arn}:*"
}

resource "aws_cloudwatch_log_subscription_filter" "log_group" {
  for_each        = data.aws_cloudwatch_log_group.forwarded
  name            = "${var.name}-captures"
  log_group_name  = each.key
  destination_arn = aws_lambda_function.forwarder.arn
  # Lines without a capture are not paid for.
  filter_pattern = "cap1"
  depends_on     = [aws_lambda_permission.log_group]
}
