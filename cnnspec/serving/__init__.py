"""The live editor: specs of a folder in a browser, with the language server and the page beside the text."""
