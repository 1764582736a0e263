"""From a flat graph to a text that a person would have written: scopes, templates, expressions."""
