"""What users of chandlery need to test their own code against it."""
