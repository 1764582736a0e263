"""The best network within limits: candidates are judged by their declaration first, and only then trained."""
