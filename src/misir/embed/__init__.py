"""Text → unit vector. `build_embedder(settings)` is the door; everything else serves it."""
