output "layer_arn" {
  description = "The layer, for functions that are to be captured"
  value       = aws_lambda_layer_version.extension.arn
}

output "policy_arn" {
  description = "The policy for the roles of functions with the layer"
  value       = aws_iam_policy.write_captures.arn
}

output "destination" {
  description = "REASSEMBLE_TO of functions with the layer"
  value       = local.destination
}
