"""The engine: a fit is initial state, epochs, final state."""
