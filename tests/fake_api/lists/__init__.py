"""The lists of the API: a module each, with the facts of the list and the generator of its records."""
