"""What an editor shows of a spec while it is typed: pure data, from a text and what was known of it before."""
