"""Pictures of networks: which boxes there are, where they stand, and the same as SVG, Mermaid, DOT and pages."""
