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

resource "aws_iam_role_policy_attachment" "forwarder" {
  role       = aws_iam_role.forwarder.name
  policy_arn = aws_iam_policy.write_captures.arn
}

data "aws_iam_policy_document" "forwarder" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.forwarder.arn}:*"]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.undelivered.arn]
  }
}

resource "aws_iam_role_policy" "forwarder" {
  name   = "own-logs-and-queue"
  role   = aws_iam_role.forwarder.name
  policy = data.aws_iam_policy_document.forwarder.json
}

resource "aws_cloudwatch_log_group" "forwarder" {
  name              = "/reassemble/${var.name}/forwarder"
  retention_in_days = 14
}

# Events as they came, for 14 days, which is as long as SQS keeps them.
resource "aws_sqs_queue" "undelivered" {
  name                      = "${var.name}-undelivered"
  message_retention_seconds = 1209600
  max_message_size          = 1048576
  sqs_managed_sse_enabled   = true
}

resource "aws_lambda_function" "forwarder" {
  function_name                  = "${var.name}-forwarder"
  role                           = aws_iam_role.forwarder.arn
  filename                       = local.forwarder_zip
  source_code_hash               = filebase64sha256(local.forwarder_zip)
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  memory_size                    = 256
  timeout                        = 60
  reserved_concurrent_executions = var.forwarder_concurrency

  environment {
    variables = local.environment
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.forwarder.name
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.undelivered.arn
  }

  # Lambda looks whether the role may send to the queue.
  depends_on = [aws_iam_role_policy.forwarder, aws_iam_role_policy_attachment.forwarder]
}

# A batch that could not be stored comes twice again within its time, then it waits in the queue. Storing it twice gives the same objects.
resource "aws_lambda_function_event_invoke_config" "forwarder" {
  function_name                = aws_lambda_function.forwarder.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600
}

data "aws_cloudwatch_log_group" "forwarded" {
  for_each = toset(var.forwarded_log_groups)
  name     = each.value
}

resource "aws_lambda_permission" "log_group" {
  for_each      = data.aws_cloudwatch_log_group.forwarded
  statement_id  = "logs-${sha1(each.key)}"
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
