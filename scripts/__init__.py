"""Set-up of the project, and generators of its documents."""
