"""Many runs over any launcher."""
