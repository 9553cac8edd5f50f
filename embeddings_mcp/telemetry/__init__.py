"""What watches the embeddings server: `base` has the facts and the Protocol; metrics and spans listen."""
