"""What is shown and served over HTTP. Importing this package imports no server."""
