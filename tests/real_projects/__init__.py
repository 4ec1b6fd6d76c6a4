"""Ten published projects as they are: install, change, test and deliver, on two engines."""
