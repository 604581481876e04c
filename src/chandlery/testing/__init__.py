"""What users of chandlery need to test their own code against it."""

from chandlery.testing.retries import no_waiting

__all__ = ["no_waiting"]
