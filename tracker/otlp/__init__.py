"""OpenTelemetry spans of AI calls: decoding an export and reading each span's usage."""
