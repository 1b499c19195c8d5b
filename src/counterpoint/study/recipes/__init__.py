"""Published experiments as recipes: data in a known layout, methods, seeds, and what came out."""
