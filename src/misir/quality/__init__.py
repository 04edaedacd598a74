"""What good means, measured: real labelled texts, streams of them, and the figures (docs/quality)."""
