output "layer_arn" {
  description = "The layer, for functions that are to be captured"
  value       = aws_lambda_layer_version.extension.arn
}

output "policy_arn" {
  description = "The policy for the roles of functions with the layer"
  value       = aws_iam_policy.write_captures.arn
}

output "environment" {
  description = "The variables of functions with the layer"
  value       = local.environment
}

output "merge_policy_arn" {
  description = "For whoever runs `reassemble merge`, beside the other policy"
  value       = aws_iam_policy.merge_captures.arn
}

output "undelivered_queue" {
  description = "Where batches wait that the forwarder could not store"
  value       = aws_sqs_queue.undelivered.url
}
