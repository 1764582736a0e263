"""`cnnspec inspect`: the layer table."""

import typer

app = typer.Typer()


@app.command()
def inspect(spec: str) -> None:
    """Show the layer table."""
    print(spec)
