"""What the numbers of a result amount to: kept beside it, so that a sum or an extreme needs no file."""
